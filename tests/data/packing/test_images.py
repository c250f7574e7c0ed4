import json

import av
import cv2
import numpy as np
import pytest
import torch

from worldmodel_train.data.config import AugmentConfig, DataConfig
from worldmodel_train.data.packing.check import ShardJob, check_shard
from worldmodel_train.data.packing.encode import EncodeConfig, Segment, reencode
from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.folder_entries import folder_entries
from worldmodel_train.data.packing.journal import ShardRecord
from worldmodel_train.data.packing.prepare import Job, prepare
from worldmodel_train.data.packing.probe import probe_all
from worldmodel_train.data.packing.sample import sample_key
from worldmodel_train.data.packing.shard_writer import ShardWriter
from worldmodel_train.data.source_config import ClipConfig, SourceConfig
from worldmodel_train.data.video_files import IMAGE_SUFFIXES

SIZE = 48, 80  # height, width


@pytest.fixture
def pictures(tmp_path):
    """A JPEG and a PNG, each of one grey, in folders that name them, and a video's name."""
    for level, name in ((60, "dark/a.jpg"), (200, "light/b.PNG")):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True)
        suffix = path.suffix.lower()
        path.write_bytes(cv2.imencode(suffix, np.full((*SIZE, 3), level, np.uint8))[1].tobytes())
    (tmp_path / "pictures" / "film.mp4").write_bytes(b"none")
    return tmp_path / "pictures"


def pack(folder, path):
    """Packs a folder's pictures, in this process."""
    writer = ShardWriter(path, path.parent)
    for number, entry in enumerate(folder_entries(folder, IMAGE_SUFFIXES)):
        job = Job(entry=entry, encode=None, scratch=path.with_name(f"{number}"))
        writer.add(sample_key(entry), prepare(job, lambda: None))
    num_bytes, sha256 = writer.finish()
    return ShardRecord(name=path.name, samples=writer.samples, bytes=num_bytes, sha256=sha256)


def test_a_folder_of_pictures_becomes_clips_of_one_frame(tmp_path, pictures):
    path = tmp_path / "a.tar"
    record = pack(pictures, path)
    report = check_shard(ShardJob(path=path, record=record, probe=probe_all), lambda: None)
    assert not report.problems
    assert report.labels == {"dark": 1, "light": 1}
    source = SourceConfig(shards=str(path), clip=ClipConfig(frames=1))
    data = DataConfig(sources=(source,), held_out=source, augment=AugmentConfig(size=(16, 24)))
    clips = data.held_out_content(9).pixels
    assert clips.shape == (2, 1, 16, 24, 3)
    levels = clips.float().mean((1, 2, 3, 4))
    torch.testing.assert_close(levels, torch.tensor([60.0, 200.0]), atol=2, rtol=0)


@pytest.mark.parametrize(("name", "level"), [("dark/a.jpg", 60), ("light/b.PNG", 200)])
def test_a_picture_that_is_encoded_keeps_its_grey(tmp_path, pictures, name, level):
    config = EncodeConfig(short_side=32)
    reencode(pictures / name, tmp_path / "out.mp4", Segment(), config, lambda: None)
    with av.open(tmp_path / "out.mp4") as container:
        (frame,) = container.decode(video=0)
    assert abs(frame.to_ndarray(format="rgb24").mean() - level) < 2


def test_a_list_may_name_a_picture(tmp_path, pictures):
    entry = Entry(source="a.jpg", path=pictures / "dark/a.jpg")
    prepared = prepare(Job(entry=entry, encode=None, scratch=tmp_path / "scratch"), lambda: None)
    assert list(prepared.files) == [".jpg", ".json"]
    assert json.loads(prepared.files[".json"])["frames"] == 1


def test_what_a_folder_does_not_hold_is_an_error_that_names_the_option(tmp_path, pictures):
    (tmp_path / "empty").mkdir()
    (pictures / "film.mp4").unlink()
    with pytest.raises(PackError, match=r"holds no videos .* add --images for pictures"):
        folder_entries(pictures)
    with pytest.raises(PackError, match=r"holds no pictures .* for videos leave out --images"):
        folder_entries(tmp_path / "empty", IMAGE_SUFFIXES)

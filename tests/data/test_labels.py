import io
import json
import tarfile
from itertools import islice

import pytest
import torch
from pydantic import ValidationError

from worldmodel_train.config.json_text import JsonError
from worldmodel_train.data.config import AugmentConfig, DataConfig, DecoderConfig, LoaderConfig
from worldmodel_train.data.fixed import load_clips
from worldmodel_train.data.labels import ManyLabels, OneLabel, label_text
from worldmodel_train.data.loader_position import LoaderPosition
from worldmodel_train.data.preparation import as_read
from worldmodel_train.data.shards.source import EncodedSample, SampleError
from worldmodel_train.data.source_config import ClipConfig, SourceConfig
from worldmodel_train.facts import FrameSize

CLASSES = ("label of a", "label of b", "label of c")
POSITION = LoaderPosition(seed=3, rank=0, world_size=1, micro_batch=4, global_batch=4, first_step=0)


@pytest.fixture
def source(make_shard, make_video):
    """Three classes, each of its own grey level, and two samples of no known class."""
    videos = {key: make_video(8, levels=[60 * i + 30] * 8) for i, key in enumerate("abc")}
    path = make_shard("a.tar", {**videos, "stranger": videos["a"]})
    return SourceConfig(shards=str(path), clip=ClipConfig(frames=2, fps=5.0))


def data_of(source, **changes):
    return DataConfig(
        sources=(source,),
        augment=AugmentConfig(size=16),
        **{"loader": LoaderConfig(workers=0), "classes": CLASSES, **changes},
    )


def read(data, count):
    return list(islice(iter(data.build_loader(as_read, POSITION)), count))


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("workers", [0, 1])
def test_each_clip_has_the_number_of_its_videos_class(source, streams, workers):
    shards = f"pipe:cat {source.shards}" if streams else source.shards
    data = data_of(
        source.model_copy(update={"shards": shards}), loader=LoaderConfig(workers=workers)
    )
    batches = read(data, 4)
    for batch in batches:
        levels = batch.content.pixels.float().mean((1, 2, 3, 4))
        assert batch.content.labels.tolist() == ((levels - 30) / 60).round().tolist()
    skips = {(s.reason, s.key) for batch in batches for s in batch.origin.skipped}
    assert skips == {("bad_label", "stranger")}


def test_each_picture_has_its_second_in_the_video(source):
    (batch,) = read(data_of(source), 1)
    times = batch.content.times
    assert times.shape == (4, 2)
    torch.testing.assert_close(times[:, 1] - times[:, 0], torch.full((4,), 0.2))
    assert (times >= 0).all()
    assert (times < 0.8).all()


def test_without_classes_no_json_is_read(source, monkeypatch):
    def refused(*_):
        raise AssertionError

    monkeypatch.setattr("worldmodel_train.data.labels.parse_object", refused)
    read_names = []
    monkeypatch.setattr(
        "worldmodel_train.data.shards.shard_set.read_member",
        lambda file, span: read_names.append(span.size) or b"",
    )
    with pytest.raises(ValueError, match="empty_file"):
        read(data_of(source, classes=None), 1)
    assert set(read_names) == {size for size in read_names if size > 1000}  # videos, no json


def test_content_without_classes_has_no_labels(source):
    (batch,) = read(data_of(source, classes=None), 1)
    assert batch.content.labels is None


def test_held_out_clips_have_the_same_numbers(source):
    fixed = load_clips(
        source,
        size=FrameSize(16, 16),
        limit=10,
        decoder=DecoderConfig(),
        clips_per_video=2,
        labels=OneLabel(CLASSES),
    )
    assert fixed.class_numbers.tolist() == [0, 0, 1, 1, 2, 2]
    assert fixed.times.shape == (6, 2)
    assert [(s.key, s.reason) for s in fixed.skipped] == [("stranger", "bad_label")]


def test_a_list_of_classes_may_lie_in_a_text_file_and_is_stored_whole(source, tmp_path):
    names = tmp_path / "classes.txt"
    names.write_text("\n".join(CLASSES) + "\n\n")
    data = data_of(source, classes=str(names))
    assert data.classes == CLASSES
    assert data.facts().classes == CLASSES
    names.unlink()
    assert DataConfig.model_validate_json(data.model_dump_json(), strict=True) == data


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("/no/such/list.txt", r"classes=/no/such/list\.txt cannot be read"),
        (("a", "b", "a"), "two classes are named 'a'"),
        (("a", ""), 'a class is named ""'),
        ((), "there are no classes"),
    ],
)
def test_a_list_that_is_none_is_refused(source, classes, message):
    with pytest.raises(ValidationError, match=message):
        data_of(source, classes=classes)


def test_json_that_is_none_is_a_reason_of_its_own():
    sample = EncodedSample(key="k", shard="a.tar", files={"json": b"[" * 100})
    with pytest.raises(SampleError, match="bad_json") as error:
        label_text(sample)
    assert isinstance(error.value.__cause__, JsonError)


def described(content):
    return EncodedSample(key="k", shard="a.tar", files={"json": json.dumps(content).encode()})


@pytest.fixture
def several(tmp_path, make_video):
    """Two samples with several labels, a sample with one, and one with a class of no list."""
    descriptions = {
        "a": {"label": CLASSES[1], "labels": [CLASSES[2], CLASSES[0]]},
        "b": {"labels": []},
        "one": {"label": CLASSES[0]},
        "stranger": {"labels": [CLASSES[0], "label of nobody"]},
    }
    path = tmp_path / "several.tar"
    with tarfile.open(path, "w") as tar:
        for key, description in descriptions.items():
            for name, content in (
                (f"{key}.mp4", make_video(8, levels=[150 if key == "a" else 60] * 8)),
                (f"{key}.json", json.dumps(description).encode()),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return SourceConfig(shards=str(path), clip=ClipConfig(frames=2, fps=5.0))


@pytest.mark.parametrize("workers", [0, 1])
def test_of_many_labels_each_clip_has_a_row_that_is_true_at_its_classes(several, workers):
    batches = read(data_of(several, labels="many", loader=LoaderConfig(workers=workers)), 2)
    rows = {150: [True, False, True], 60: [False, False, False]}
    for batch in batches:
        labels = batch.content.labels
        assert (labels.dtype, labels.shape) == (torch.bool, (4, 3))
        levels = batch.content.pixels.float().mean((1, 2, 3, 4)).round().int()
        assert labels.tolist() == [rows[min(rows, key=lambda r: abs(r - n))] for n in levels]
    skips = {(s.reason, s.key) for batch in batches for s in batch.origin.skipped}
    assert skips == {("only_one_label", "one"), ("bad_label", "stranger")}


def test_held_out_clips_have_the_same_rows_and_all_labels_in_their_title(several):
    data = data_of(several, labels="many")
    fixed = data.clips_of(several, limit=9, clips_per_video=2)
    row = [True, False, True]
    assert fixed.as_read().labels.tolist() == [row, row, [False] * 3, [False] * 3]
    assert label_text(described({"labels": ["x", "y"]})) == "x, y"
    assert data.facts().labels == "many"


@pytest.mark.parametrize(
    ("reader", "content", "reason"),
    [
        (OneLabel, {"labels": [CLASSES[0]]}, "only_several_labels"),
        (OneLabel, {}, "bad_label"),
        (ManyLabels, {"label": CLASSES[0]}, "only_one_label"),
        (ManyLabels, {}, "bad_label"),
        (ManyLabels, {"labels": CLASSES[0]}, "bad_label"),
        (ManyLabels, {"labels": [0]}, "bad_label"),
        (ManyLabels, {"labels": [[CLASSES[0]]]}, "bad_label"),
    ],
)
def test_a_sample_labelled_in_another_way_is_skipped_with_a_reason(reader, content, reason):
    with pytest.raises(SampleError) as error:
        reader(CLASSES).label(described(content))
    assert error.value.skip.reason == reason


@pytest.mark.parametrize(
    ("labels", "classes", "remedy"),
    [
        ("one", ("x",), r"bad_label 3.*name the classes\.txt"),
        ("many", ("x",), r"label 3.*write data\.labels=one"),
    ],
)
def test_a_set_of_other_labels_is_answered_with_the_remedy(make_shard, labels, classes, remedy):
    shard = make_shard("b.tar", dict.fromkeys("abc", b"never looked at"))
    source = SourceConfig(shards=str(shard), clip=ClipConfig(frames=2))
    data = data_of(source, labels=labels, classes=classes)
    with pytest.raises(ValueError, match=rf"no video that can be used \(.*{remedy}"):
        data.clips_of(source, limit=3, clips_per_video=1)


def test_many_labels_without_classes_are_refused(source):
    with pytest.raises(ValidationError, match="labels=many needs classes"):
        data_of(source, classes=None, labels="many")

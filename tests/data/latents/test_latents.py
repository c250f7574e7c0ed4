"""Latents on disk: written whole or gone on with, and read in an order that resumes exactly."""

import pytest
import torch

from worldmodel_train.batch import Skip
from worldmodel_train.data.fixed import Views
from worldmodel_train.data.latents import write
from worldmodel_train.data.latents.batches import LatentBatches
from worldmodel_train.data.latents.folder import LatentsFolder
from worldmodel_train.data.latents.index import INDEX, MadeOf
from worldmodel_train.data.latents.write import LatentsWriter, Sizes
from worldmodel_train.data.loader_position import LoaderPosition
from worldmodel_train.data.preparation import as_read

WIDTH = 65_536  # so that four clips of two tokens are a shard of a MiB
MADE_OF = MadeOf(
    recipe="r", part="target_encoder", encoder="0", layer=None, source="s", shards=("s.tar",),
    clip=(1, 8, 8), fps=4.0, views=1, most_clips=None, grid=(1, 1, 2), width=WIDTH,
    precision="bf16", classes=("a", "b"),
)  # fmt: skip


def videos(*, first, count=10):
    for number in range(first, count):
        if number == 3:
            yield Skip("corrupt", "s.tar", "3")
            continue
        clip = torch.full((1, 1, 8, 8, 3), number, dtype=torch.uint8)
        yield Views(
            clips=clip, times=torch.zeros(1, 1), number=number, key=str(number),
            label="a", class_number=number % 2,
        )  # fmt: skip


def encode(clips):
    """Tokens that say which video they are of."""
    return clips[:, 0, 0, 0, :1].float()[:, None].expand(-1, 2, WIDTH)


def written(folder):
    writer = LatentsWriter(folder, MADE_OF, Sizes(batch=2, shard_mb=1))
    writer.write(videos, encode, lambda _: None)
    return writer


def position(*, rank=0, first_step=0):
    return LoaderPosition(
        seed=0, rank=rank, world_size=2, micro_batch=2, global_batch=4, first_step=first_step
    )


def batches(folder, count, **where):
    source = iter(LatentBatches(LatentsFolder(folder), as_read, position(**where), 1))
    return [next(source).content for _ in range(count)]


def test_latents_are_read_as_they_were_written_without_bad_videos(tmp_path):
    writer = written(tmp_path)
    assert (writer.clips, writer.skipped, writer.num_shards) == (9, 1, 3)
    folder = LatentsFolder(tmp_path)
    read = folder.read(range(9), tokens=None, samples=range(9))
    numbers = [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert read.tokens.shape == (9, 2, WIDTH)
    assert read.tokens[:, 1, 5].tolist() == numbers
    assert read.labels.tolist() == [number % 2 for number in numbers]


def test_a_writing_that_was_cut_goes_on_after_its_last_whole_shard(tmp_path, monkeypatch):
    written(tmp_path / "whole")
    really, done = write.write_atomically, []

    def cut(path, content):
        if path.suffix == ".safetensors":
            done.append(path)
            if len(done) == 2:
                path.with_name(f".{path.name}.1.partial").write_bytes(content[:100])
                raise OSError("no space left on device")
        really(path, content)

    monkeypatch.setattr(write, "write_atomically", cut)
    with pytest.raises(OSError, match="no space"):
        written(tmp_path / "cut")
    assert written(tmp_path / "cut").kept == 4
    assert {path.name for path in (tmp_path / "cut").iterdir()} == {
        path.name for path in (tmp_path / "whole").iterdir()
    }
    cut_then_written, whole = (
        LatentsFolder(tmp_path / name).read(range(9), tokens=None, samples=range(9))
        for name in ("cut", "whole")
    )
    assert torch.equal(cut_then_written.tokens, whole.tokens)
    assert torch.equal(cut_then_written.labels, whole.labels)
    assert written(tmp_path / "cut").skipped == 1


def test_other_latents_and_a_damaged_index_are_refused(tmp_path):
    written(tmp_path)
    other = MADE_OF.model_copy(update={"encoder": "1"})
    with pytest.raises(ValueError, match=r"holds other latents \(encoder: 0, not 1\)"):
        LatentsWriter(tmp_path, other, Sizes(batch=2, shard_mb=1))
    (tmp_path / INDEX).write_text("{")
    with pytest.raises(ValueError, match=INDEX):
        LatentsFolder(tmp_path)


def test_a_resumed_order_is_the_same_and_ranks_share_it_out(tmp_path):
    written(tmp_path)
    begun = batches(tmp_path, 6)
    resumed = batches(tmp_path, 3, first_step=3)
    for one, other in zip(begun[3:], resumed, strict=True):
        assert one.samples == other.samples
        assert torch.equal(one.tokens, other.tokens)
    others = batches(tmp_path, 6, rank=1)
    samples = [sample for batch in (*begun, *others) for sample in batch.samples]
    assert sorted(samples) == list(range(24))

"""The online probe of a run: what it sees, and that the run is none the wiser."""

import json

import pytest
import torch

from tests.training import vjepa_run as vjepa
from worldmodel_train.probes.online import OnlineProbe
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.config import OnlineProbeConfig
from worldmodel_train.training.metrics import probing
from worldmodel_train.training.metrics.watched_clips import few_clips
from worldmodel_train.training.run import pretrain
from worldmodel_train.types import ClipGroup, Clips, MaskedClips

PACE = ("clips_per_s", "step_ms", "mfu", "data_wait")


def parts(run_dir, **options):
    return vjepa.vjepa_parts(run_dir, steps=10, save_every=100, **options)


def readings(run_dir):
    """Everything that is read, but for what time decides."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in line if name not in PACE} for line in lines]


def test_a_run_that_is_probed_is_the_same_run(tmp_path, weights, assert_same):
    pretrain(parts(tmp_path / "probed", **vjepa.probed()))
    pretrain(parts(tmp_path / "plain"))
    probed, plain = readings(tmp_path / "probed"), readings(tmp_path / "plain")
    said = [reading.pop("online_probe", None) for reading in probed]
    assert probed == plain
    assert_same(weights(tmp_path / "probed"), weights(tmp_path / "plain"))
    assert [found is None for found in said] == [True] * 3 + [False] * 7
    assert all(
        found.keys() == {"accuracy", "pixels", "majority"}
        and all(0 <= share <= 1 for share in found.values())
        for found in said[3:]
    )


def test_a_probe_that_was_stopped_goes_on_as_an_unbroken_one(tmp_path):
    pretrain(parts(tmp_path / "one", **vjepa.probed()))
    assert pretrain(parts(tmp_path / "two", kill=["SIGTERM", 5], **vjepa.probed())).exit_code
    pretrain(parts(tmp_path / "two", **vjepa.probed()))
    assert readings(tmp_path / "two") == readings(tmp_path / "one")


@pytest.mark.parametrize("before", ["no probe", "no file of it"])
def test_a_checkpoint_without_a_probe_is_resumed_with_one_that_knows_nothing(tmp_path, before):
    begun = {} if before == "no probe" else vjepa.probed(every_steps=100)
    pretrain(parts(tmp_path, kill=["SIGTERM", 5], **begun))
    assert not (CheckpointFolder(tmp_path).last() / "online_probe.safetensors").exists()
    pretrain(parts(tmp_path, **vjepa.probed()))
    said = [reading["step"] for reading in readings(tmp_path) if "online_probe" in reading]
    assert said == [8, 9, 10]


def test_a_probe_that_was_damaged_on_the_disk_is_an_error(tmp_path):
    pretrain(parts(tmp_path, kill=["SIGTERM", 5], **vjepa.probed()))
    file = CheckpointFolder(tmp_path).last() / "online_probe.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=r"online_probe\.safetensors is not what was saved"):
        pretrain(parts(tmp_path, **vjepa.probed()))


def test_micro_batches_are_probed_in_their_order(tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr(OnlineProbe, "take", lambda probe, rows: taken.append(rows))
    pretrain(parts(tmp_path, global_batch=8, micro_batch=4, **vjepa.probed(5, clips=2)))
    batches = [vjepa.group(step, range(8 * step + first, 8 * step + first + 4))
               for step in (4, 9) for first in (0, 4)]  # fmt: skip
    labels = [batch.labels[[0, 2]] for batch in batches]
    assert [rows.labels.tolist() for rows in taken] == [
        torch.cat(labels[:2]).tolist(),
        torch.cat(labels[2:]).tolist(),
    ]
    assert taken[0].latents.shape == (4, 48)


def test_clips_of_the_commonest_length_are_taken_and_rows_are_filled_up():
    def clips(number, frames):
        pixels = torch.arange(number).view(-1, 1, 1, 1, 1).expand(-1, frames, 4, 4, 3)
        labels = torch.arange(number)
        return ClipGroup(clips=pixels.byte(), masks=(), labels=labels)

    content = MaskedClips(groups=(clips(2, 2), clips(6, 4)))
    taken, labels = few_clips(content, 3)
    assert labels.tolist() == taken[:, 0, 0, 0, 0].tolist() == [0, 2, 4]
    (one,) = content.groups[:1]
    read = Clips(pixels=one.clips, samples=(0, 1), labels=one.labels)
    taken, labels = few_clips(read, 3)
    assert labels.tolist() == [0, 1]
    several = Clips(pixels=one.clips, samples=(0, 1), labels=torch.ones(2, 3, dtype=torch.bool))
    taken, each = few_clips(several, 1)
    assert (taken.shape[0], each.shape) == (1, (1, 3))
    rows = probing.ProbedRows(latents=torch.ones(2, 5), pixels=torch.ones(2, 7), labels=labels)
    filled = probing._padded(rows, OnlineProbeConfig(clips=3))
    assert filled.labels.tolist() == [0, 1, -1]
    assert filled.latents.shape == (3, 5)

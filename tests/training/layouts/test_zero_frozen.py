"""Under ZeRO what is not trained stays as it was stored: the engine rounds what was drawn."""

import shutil

import pytest
import torch

from tests.training import frozen_run, torchrun
from tests.training.forked import Forked
from worldmodel_train.training.run import pretrain

pytestmark = [pytest.mark.slow, pytest.mark.distributed, pytest.mark.timeout(300)]

STAGES = (2, 3)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A run of two steps on one process, and goes-on of it on two under each stage."""
    root = tmp_path_factory.mktemp("frozen")
    spec = frozen_run.run_parts(root / "begun", steps=2)
    pretrain(frozen_run.drawn_otherwise(spec))
    runs = []
    for stage in STAGES:
        shutil.copytree(root / "begun", root / f"zero{stage}")
        strategy = {"name": "deepspeed", "zero_stage": stage}
        runs.append({"run_dir": str(root / f"zero{stage}"), "strategy": strategy, "steps": 4})
    logs = [root / "rank_0", root / "rank_1"]
    started = [
        Forked("frozen_run", runs, place, log=log)
        for place, log in zip(torchrun.places(2), logs, strict=True)
    ]
    codes = [process.wait(timeout=250) for process in started]
    # each rank has compared what computes with what was stored
    assert codes == [0, 0], logs[0].read_text()[-3000:] + logs[1].read_text()[-3000:]
    return root


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_saved_next_are_the_stored_weights_in_fp32(root, weights, stage):
    stored, saved = weights(root / "begun"), weights(root / f"zero{stage}")
    patches = [name for name in stored if ".patch_embed." in name]
    assert len(patches) == 4
    for name in patches:
        assert saved[name].dtype == torch.float32
        assert torch.equal(saved[name], stored[name]), name
    trained = "encoder.blocks.0.attn.qkv.weight"
    assert not torch.equal(saved[trained], stored[trained])
    weight = stored["encoder.patch_embed.proj.weight"]
    assert not torch.equal(weight, weight.bfloat16().float())  # so that rounding it would be seen


def test_the_stored_weights_are_not_those_that_the_seed_draws(root, weights, tmp_path):
    pretrain(frozen_run.run_parts(tmp_path / "drawn", steps=1))
    name = "encoder.patch_embed.proj.weight"
    assert not torch.equal(weights(tmp_path / "drawn")[name], weights(root / "begun")[name])

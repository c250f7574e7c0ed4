"""Fine-tuning is sharded, interrupted and resumed as any other training."""

from pathlib import Path

import pytest

from tests.training import finetuned_run, torchrun
from tests.training.forked import Forked
from worldmodel_train.models.strict_state import CheckpointError
from worldmodel_train.training.checkpoints.files import read_meta
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.run import pretrain

STRATEGIES = {
    "ddp": "ddp",
    "fsdp2": "fsdp2",
    "zero1": {"name": "deepspeed", "zero_stage": 1},
    "zero3": {"name": "deepspeed", "zero_stage": 3},
}
OPTIONS = {"steps": 4, "micro_batch": 2, "global_batch": 4, "activation_checkpointing": "selective"}


def test_an_interrupted_run_equals_an_unbroken_one(tmp_path, losses, weights, assert_same):
    for name, kill in (("unbroken", None), ("resumed", 2), ("resumed", None)):
        pretrain(finetuned_run.parts(tmp_path / name, **OPTIONS, kill=kill))
    assert losses(tmp_path / "resumed") == losses(tmp_path / "unbroken")
    assert_same(weights(tmp_path / "resumed"), weights(tmp_path / "unbroken"))


def test_a_run_is_resumed_from_the_encoder_it_began_from_only(tmp_path):
    pretrain(finetuned_run.parts(tmp_path, **OPTIONS))
    meta = read_meta(CheckpointFolder(tmp_path).last())
    assert {name.partition(".")[0] for name in meta.shapes} == {"encoder", "head"}
    with pytest.raises(CheckpointError, match=r"trained on another encoder .*method\.encoder"):
        pretrain(finetuned_run.parts(tmp_path, **OPTIONS | {"steps": 5}, encoder=2))


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Directories of runs on one process and, under each strategy, on two."""
    root = tmp_path_factory.mktemp("finetuned")
    pretrain(finetuned_run.parts(root / "single", **OPTIONS))
    runs = [
        {"run_dir": str(root / name), "strategy": strategy, **OPTIONS}
        for name, strategy in STRATEGIES.items()
    ]
    logs = [root / "rank_0", root / "rank_1"]
    started = [
        Forked("finetuned_run", runs, place, log=log)
        for place, log in zip(torchrun.places(2), logs, strict=True)
    ]
    codes = [process.wait(timeout=400) for process in started]
    assert codes == [0, 0], logs[0].read_text()[-3000:]
    return root


@pytest.mark.distributed
@pytest.mark.timeout(500)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_processes_equal_one_whose_layers_have_rates_of_their_own(root, losses, strategy):
    assert losses(root / strategy) == pytest.approx(losses(root / "single"), rel=1e-5)

"""Compiled runs on two processes equal eager ones: where `train.compile=auto` compiles."""

import pytest

from tests.training import test_sharded as sharded

COMPILED = ["ddp", "fsdp2", "zero1"]  # ZeRO 2 keeps its state as ZeRO 1
pytestmark = [pytest.mark.distributed, pytest.mark.compile, pytest.mark.timeout(900)]


def test_every_strategy_that_may_be_compiled_has_the_losses_of_eager_blocks(tmp_path, losses):
    base = {"steps": 2, "micro_batch": 2, "global_batch": 8, "activation_checkpointing": "full"}
    runs = [{"run_dir": str(tmp_path / "eager"), "strategy": "ddp", **base}]
    runs += [
        {
            "run_dir": str(tmp_path / name),
            "strategy": sharded.STRATEGIES[name],
            "compile": True,
            **base,
        }
        for name in COMPILED
    ]
    sharded.launch(runs, 2, tmp_path / "log")
    expected = losses(tmp_path / "eager")
    for name in COMPILED:
        assert losses(tmp_path / name) == pytest.approx(expected, rel=1e-5), name

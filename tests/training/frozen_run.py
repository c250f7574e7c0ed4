"""A tiny MoCo v3, whose patches are not trained, that goes on with another draw's weights."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.training.methods_run import parts
from tests.training.vjepa_run import assert_rounded, keeping
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.reader import read_weights
from worldmodel_train.training.run import pretrain
from worldmodel_train.training.run_spec import RunSpec

METHOD = "jepa/mocov3"


def run_parts(run_dir: Path, **options: Any) -> RunSpec:
    """Parts of a run in bf16 on one process or on two."""
    return parts(run_dir, METHOD, **{"global_batch": 4, "precision": "bf16"} | options)


def drawn_otherwise(spec: RunSpec) -> RunSpec:
    """The same run with weights that its own seed does not draw."""

    def build() -> Any:
        with torch.random.fork_rng():
            torch.manual_seed(99)
            return spec.build_objective()

    return dataclasses.replace(spec, build_objective=build)


def not_trained(objective: nn.Module) -> dict[str, nn.Parameter]:
    """The student's patches and the copy's."""
    found = dict(objective.named_parameters())
    return {name: p for name, p in found.items() if ".patch_embed." in name}


def main(runs: list[dict[str, Any]]) -> None:
    """Goes on with each run on two ranks; what then computes are the patches that were stored."""
    for options in runs:
        run_dir = Path(options.pop("run_dir"))
        checkpoint = CheckpointFolder(run_dir).last()
        assert checkpoint is not None
        stored, built, spec = read_weights(checkpoint), [], run_parts(run_dir, **options)
        result = pretrain(dataclasses.replace(spec, build_objective=keeping(spec, built)))
        assert result.exit_code == 0, result
        frozen = not_trained(built[-1])
        assert len(frozen) == 4, frozen.keys()
        for name, parameter in frozen.items():
            assert not parameter.requires_grad, name
            assert_rounded(parameter, stored[name], name)

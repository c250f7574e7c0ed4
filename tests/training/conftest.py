import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from worldmodel_train.training.checkpoints.reader import read_weights


def _program(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    """The module toy_run.py, which is a program as well."""
    return _program("toy_run")


@pytest.fixture(scope="session")
def vjepa() -> ModuleType:
    """The module vjepa_run.py, which is a program as well."""
    return _program("vjepa_run")


@pytest.fixture(scope="session")
def acting(toy) -> ModuleType:
    """The module acting_run.py, which is a program as well."""
    sys.modules["toy_run"] = toy
    return _program("acting_run")


@pytest.fixture(scope="session")
def sharded() -> ModuleType:
    """The module test_sharded.py, which launches vjepa_run.py on several processes."""
    return _program("test_sharded")


@pytest.fixture
def losses() -> Callable[[Path], dict[int, float]]:
    """Reads the loss of each step of a run, and asserts that no step comes twice."""

    def read(run_dir: Path) -> dict[int, float]:
        lines = [json.loads(x) for x in (run_dir / "metrics.jsonl").read_text().splitlines()]
        steps = [line["step"] for line in lines]
        assert steps == sorted(set(steps))
        return {line["step"]: line["loss"] for line in lines}

    return read


@pytest.fixture
def weights() -> Callable[[Path], dict[str, torch.Tensor]]:
    """Reads the weights of a run's last checkpoint."""

    def read(run_dir: Path) -> dict[str, torch.Tensor]:
        folder = run_dir / "checkpoints"
        return read_weights(folder / (folder / "last").read_text().strip())

    return read


@pytest.fixture
def assert_same() -> Callable[[dict, dict], None]:
    """Asserts that two sets of weights are equal bit for bit."""

    def check(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
        assert one.keys() == other.keys()
        for name, tensor in one.items():
            assert torch.equal(tensor, other[name]), name

    return check

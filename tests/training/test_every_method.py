"""Every JEPA trains on one process and on two, under each strategy, resumes exactly and exports.

Two processes go through all methods and strategies in one start.
"""

import pytest
import torch

from tests.contracts.methods import CONFIGS, METHODS, build
from tests.training import methods_run, torchrun
from tests.training.forked import Forked
from worldmodel_train.interop import export_merged, import_merged
from worldmodel_train.protocols import AfterStep, HasPhases
from worldmodel_train.training.run import pretrain

STRATEGIES = {
    "ddp": "ddp",
    "fsdp2": "fsdp2",
    "zero2": {"name": "deepspeed", "zero_stage": 2},
    "zero3": {"name": "deepspeed", "zero_stage": 3},
}
NAMES = [name for name in METHODS if name.startswith("jepa/")]
NAMES += ["dino_balanced", "renderers/slot_autoencoder"]

pytestmark = [pytest.mark.slow, pytest.mark.distributed, pytest.mark.timeout(900)]


def folder(name: str) -> str:
    return name.replace("/", "_")


def steps_of(name: str) -> int:
    """Steps under each strategy: two, or one more than those in which a part rests."""
    return max(2, 1 + getattr(CONFIGS[name], "resting_steps", 0))


def share_apart(one: dict, other: dict) -> float:
    """The share of weights that differ by more than 1e-5, where a step moves them by 1e-3 or more.

    The loss does not depend on keys' biases, nor on biases before a batch norm. Their gradients are
    rounding noise, which AdamW makes steps of full size.
    """
    apart = [(one[name] - tensor).abs().flatten() > 1e-5 for name, tensor in other.items()]
    return torch.cat(apart).float().mean().item()


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Directories of runs on two processes: method, then strategy."""
    root = tmp_path_factory.mktemp("two")

    def run(name: str, to: str, strategy: str, **options: int) -> dict:
        run_dir = str(root / folder(name) / to)
        return {"run_dir": run_dir, "strategy": STRATEGIES[strategy], "method": name, **options}

    runs = []
    for name in NAMES:
        runs += [run(name, strategy, strategy, steps=steps_of(name)) for strategy in STRATEGIES]
        # ranks agree on a signal one step after it
        runs += [
            run(name, "unbroken", "ddp", steps=6),
            run(name, "resumed", "ddp", steps=6, kill=3),
        ]
        runs.append(run(name, "resumed", "ddp", steps=6))
    logs = [root / "rank_0", root / "rank_1"]
    started = [
        Forked("methods_run", runs, place, log=log)
        for place, log in zip(torchrun.places(2), logs, strict=True)
    ]
    codes = [process.wait(timeout=850) for process in started]
    assert codes == [0, 0], logs[0].read_text()[-3000:]
    return root


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_sharded(name):
    # else it would have to be left out below, by name
    assert not isinstance(build(CONFIGS[name]), AfterStep | HasPhases)


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_run_equals_an_unbroken_one(name, tmp_path, losses, weights, assert_same):
    one, other = tmp_path / "one", tmp_path / "other"
    pretrain(methods_run.parts(one, name))
    stopped = pretrain(methods_run.parts(other, name, kill=3))
    assert 0 < stopped.step < methods_run.STEPS
    pretrain(methods_run.parts(other, name))
    assert losses(other) == losses(one)
    assert_same(weights(other), weights(one))


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_go_on_as_if_unbroken(name, two, losses, weights, assert_same):
    one, other = two / folder(name) / "unbroken", two / folder(name) / "resumed"
    saved = sorted(path.name for path in (other / "checkpoints").glob("step_*"))
    assert len(saved) == 2
    assert saved[0] < saved[1] == "step_00000006"
    assert losses(other) == losses(one)
    assert_same(weights(other), weights(one))


@pytest.mark.parametrize("name", NAMES)
def test_each_strategy_takes_the_steps_of_ddp_on_two_processes(name, two, losses, weights):
    runs = {strategy: two / folder(name) / strategy for strategy in STRATEGIES}
    expected, trained = losses(runs["ddp"]), weights(runs["ddp"])
    assert all(torch.isfinite(torch.tensor(loss)) for loss in expected.values())
    assert len(expected) == steps_of(name)
    for strategy, run_dir in runs.items():
        assert losses(run_dir) == pytest.approx(expected, rel=1e-5), strategy
        found = weights(run_dir)
        assert found.keys() == trained.keys()
        assert share_apart(found, trained) < 0.02, strategy


@pytest.mark.parametrize("name", NAMES)
def test_what_was_trained_in_pieces_is_exported_whole(name, two, weights, tmp_path):
    trained = weights(two / folder(name) / "zero3")
    export_merged(trained, tmp_path / "merged.safetensors")
    objective = build(CONFIGS[name])
    import_merged(tmp_path / "merged.safetensors", objective)
    assert all(torch.equal(found, trained[key]) for key, found in objective.state_dict().items())

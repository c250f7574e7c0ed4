"""Steps whose loss jumps are passed over, alike in every run of the same losses."""

import signal

import pytest
import torch

from tests.training import torchrun
from tests.training import toy_run as toy
from tests.training.forked import Forked
from worldmodel_train.training.config import DeepSpeedConfig, SingleStrategy
from worldmodel_train.training.guard import BrokenRunError, Guard, GuardConfig
from worldmodel_train.training.optim import OptimConfig
from worldmodel_train.training.run import pretrain
from worldmodel_train.training.spikes import SpikeConfig, Spikes
from worldmodel_train.training.strategies.strategy import refuse_to_pass_over

EAGER = SpikeConfig(stds=3.0, window=4, from_step=4, most=2)
SPIKE = toy.SpikyToy.SPIKE
# so that a shorter run is the beginning of a longer one
OPTIM = OptimConfig.model_validate(
    {
        "lr": {"name": "constant", "value": 1e-2},
        "weight_decay": {"name": "constant", "value": 0.1},
        "ema": {"name": "constant", "value": 0.9},
    }
)
GUARD = GuardConfig(collapse="ignore", spikes=EAGER)


@pytest.fixture
def run(tmp_path):
    def start(name="run", **options):
        defaults = {"objective": toy.SpikyToy, "steps": 10, "guard": GUARD, "optim": OPTIM}
        pretrain(toy.toy_parts(tmp_path / name, **(defaults | options)))
        return tmp_path / name

    return start


def taken(spikes, losses, first=0):
    return [spikes.passes(loss, step) for step, loss in enumerate(losses, start=first)]


def test_a_loss_above_the_mean_by_so_many_deviations_is_passed_over():
    """Of 1, 2, 1, 2 the mean is 1.5 and the deviation 0.5: 3 is the bound."""
    assert taken(Spikes(EAGER), [1, 2, 1, 2, 3.0]) == [True] * 5
    assert taken(Spikes(EAGER), [1, 2, 1, 2, 3.01]) == [True] * 4 + [False]


def test_what_was_passed_over_does_not_raise_the_bound_and_is_counted():
    spikes = Spikes(EAGER)
    assert taken(spikes, [1, 2, 1, 2, 50, 50, 2]) == [True] * 4 + [False, False, True]
    assert spikes.skipped == 2


def test_nothing_is_passed_over_early_or_with_few_losses_behind():
    assert all(taken(Spikes(EAGER), [1, 2, 1, 50]))
    assert taken(Spikes(EAGER), [1, 2, 50, 2000], first=100) == [True, True, True, False]


def test_a_loss_that_is_not_finite_is_left_to_the_guard_and_not_remembered():
    spikes = Spikes(EAGER)
    assert all(taken(spikes, [1, 2, float("nan"), 1, 2, float("inf"), 1]))
    assert spikes.state().losses == (2, 1, 2, 1)  # the latest four


def test_the_window_forgets():
    spikes = Spikes(EAGER)
    taken(spikes, range(20), first=-20)
    assert spikes.state().losses == (16, 17, 18, 19)


def test_too_many_break_the_run():
    guard = Guard(GUARD)
    for step, loss in enumerate([1, 2, 1, 2, 50, 50]):
        guard.takes(loss, step)
    with pytest.raises(BrokenRunError, match=r"3 steps were passed over.*step 7 with 50"):
        guard.takes(50, 6)


def test_a_guard_goes_on_with_the_losses_that_it_saved():
    one, other = Guard(GUARD), Guard(GUARD)
    for step, loss in enumerate([1, 2, 1, 2, 50]):
        one.takes(loss, step)
    other.load(one.state())
    assert other.spikes.state() == one.spikes.state()
    assert not other.takes(50, 5)


def test_a_step_that_is_passed_over_leaves_weights_and_moments_and_moves_the_teacher(run, weights):
    before, after = (weights(run(str(n), steps=n)) for n in (SPIKE, SPIKE + 1))
    spared = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if name.startswith(("encoder.0", "predictor"))} <= spared
    assert "teacher.0.weight" not in spared
    moved = weights(run("plain", steps=SPIKE + 1, guard=GuardConfig(collapse="ignore")))
    assert not torch.equal(moved["encoder.0.weight"], before["encoder.0.weight"])


def test_a_resumed_run_passes_over_the_same_step(run, losses, weights, assert_same):
    def stop(step):
        if step == SPIKE - 1:
            signal.raise_signal(signal.SIGTERM)

    unbroken, resumed = run("one"), run("two", at_batch=stop)
    assert len(losses(resumed)) < SPIKE
    run("two")
    assert losses(unbroken) == losses(resumed)
    assert losses(resumed)[SPIKE + 1] > 10
    assert_same(weights(unbroken), weights(resumed))


def test_accumulated_batches_are_judged_by_their_mean(run, weights):
    whole = weights(run("whole", objective=lambda: toy.SpikyToy(0.0)))
    parts = weights(run("parts", objective=lambda: toy.SpikyToy(0.0), micro_batch=2))
    for name in whole.keys() - {"encoder.passes", "teacher.passes"}:
        # sums in another order
        torch.testing.assert_close(whole[name], parts[name], rtol=1e-4, atol=1e-5)


@pytest.mark.distributed
def test_all_ranks_pass_over_a_step_that_jumps_on_one(tmp_path, losses, weights, assert_same):
    """Whether it jumps on one rank or on both, it leaves the same weights: none takes it."""
    spikes = {"stds": 3.0, "window": 4, "from_step": 4}
    runs = {"one": [1], "both": [0, 1]}
    for name, jumping in runs.items():
        options = {"run_dir": str(tmp_path / name), "steps": 9, "micro_batch": 2}
        options |= {"jumping": jumping, "guard": {"spikes": spikes}}
        ranks = [Forked("toy_run", options, place) for place in torchrun.places(2)]
        assert [rank.wait() for rank in ranks] == [0, 0]
    one, both = (losses(tmp_path / name) for name in runs)
    assert 100 < one.pop(SPIKE + 1) < both.pop(SPIKE + 1)
    assert one == both
    assert_same(*(weights(tmp_path / name) for name in runs))


def test_what_cannot_pass_over_a_step_is_refused():
    with pytest.raises(ValueError, match=r"guard\.spikes does not go with .*deepspeed"):
        refuse_to_pass_over(toy.ToyJepa(), DeepSpeedConfig())
    with pytest.raises(ValueError, match=r"PhasedToy has several; use guard\.spikes=null"):
        refuse_to_pass_over(toy.PhasedToy(), SingleStrategy())

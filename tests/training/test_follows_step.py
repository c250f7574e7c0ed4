"""An objective whose loss changes over a run is told its step, also after a break."""

import signal

import pytest

from tests.training import toy_run as toy
from worldmodel_train.protocols import FollowsStep
from worldmodel_train.training.run import pretrain


class Growing(toy.ToyJepa):
    """Its loss grows with the step."""

    def __init__(self):
        super().__init__()
        self.told = []

    def begin_step(self, step):
        self.told.append(step)

    def training_losses(self, content):
        losses = super().training_losses(content)
        terms = {"weight": losses.total.new_tensor(float(self.told[-1]))}
        return toy.Losses(
            total=losses.total * (1 + self.told[-1]), terms=terms, latents=losses.latents
        )


@pytest.fixture
def run(tmp_path):
    def start(name="run", **options):
        objectives = []

        def objective():
            objectives.append(Growing())
            return objectives[-1]

        pretrain(toy.toy_parts(tmp_path / name, objective=objective, **options))
        return tmp_path / name, objectives[-1].told

    return start


def test_it_is_told_before_each_forward_pass(run):
    assert isinstance(Growing(), FollowsStep)
    assert run(steps=3, micro_batch=2)[1] == [0, 0, 1, 1, 2, 2]


def test_a_resumed_run_goes_on_with_the_step_and_the_loss(run, losses, weights, assert_same):
    def stop(step):
        if step == 4:
            signal.raise_signal(signal.SIGTERM)

    (unbroken, _), (resumed, told) = run("one"), run("two", at_batch=stop)
    again = run("two")[1]
    assert again[0] == told[-1] + 1
    assert losses(unbroken) == losses(resumed)
    assert_same(weights(unbroken), weights(resumed))

"""Losses on fixed samples: the same on every call, and nothing is changed by measuring them."""

import pytest
import torch

from worldmodel_train.data.preparation import as_read
from worldmodel_train.evaluation.latents.losses import Batches, measure_losses
from worldmodel_train.types import Clips, Losses, Trajectories


class Mean(torch.nn.Module):
    """Its loss is the mean pixel, and a number that it draws."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.modes = []

    def training_losses(self, content):
        self.modes.append(self.training)
        mean = self.weight * content.pixels.float().mean()
        return Losses(total=mean, terms={"drawn": torch.rand(())})

    def ema_pairs(self):
        return ()

    def parameter_groups(self):
        return ()


def batches_of(size):
    pixels = torch.arange(5, dtype=torch.uint8)[:, None, None, None, None].expand(5, 2, 4, 4, 3)
    return Batches(
        samples=Clips(pixels=pixels, samples=(0, 1, 2, 3, 4)), size=size, prepare=as_read
    )


@pytest.mark.parametrize("size", [1, 2, 5, 64])
def test_a_mean_over_samples_is_that_whatever_the_batch(size):
    assert measure_losses(Mean(), batches_of(size), (0,))["loss"].values == pytest.approx((2.0,))


def test_what_is_drawn_follows_from_the_seed_and_the_generator_is_left_as_it_was():
    state = torch.random.get_rng_state()
    first, again = (measure_losses(Mean(), batches_of(2), (0, 1)) for _ in range(2))
    assert first == again
    assert len(set(first["drawn"].values)) == 2
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_objective_is_measured_in_evaluation_mode_and_left_as_it_was():
    objective = Mean()
    measure_losses(objective, batches_of(2), (0,))
    assert not any(objective.modes)
    assert objective.training
    assert objective.weight.grad is None


def test_each_batch_is_prepared_under_its_seed_with_its_samples():
    calls = []

    def prepare(read, *, seed, step):
        calls.append((read[0].samples, seed, step))
        return read[0]

    batches = Batches(samples=batches_of(2).samples, size=2, prepare=prepare)
    measure_losses(Mean(), batches, (7,))
    assert calls == [((0, 1), 7, 0), ((2, 3), 7, 2), ((4,), 7, 4)]


def test_windows_of_episodes_are_cut_as_well():
    windows = Trajectories(
        observations=torch.zeros(3, 2, 4),
        actions=torch.arange(3.0)[:, None, None],
        samples=(0, 1, 2),
    )
    parts = [content for _, content in Batches(samples=windows, size=2, prepare=as_read).of(0)]
    assert [part.samples for part in parts] == [(0, 1), (2,)]
    assert parts[1].actions.tolist() == [[[2.0]]]

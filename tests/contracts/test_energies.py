"""What it means to answer how well things go together, for every method that does."""

from dataclasses import replace

import pytest
import torch

from tests.contracts.methods import METHODS, audio, build, clips, trajectories
from worldmodel_train.protocols import HasEnergy
from worldmodel_train.types import Audio, Clips, Trajectories

JEPAS = {name for name in METHODS if name.startswith("jepa/")}
ANSWERING = {
    name: config for name, config in METHODS.items() if isinstance(build(config), HasEnergy)
}


@pytest.fixture(params=ANSWERING.values(), ids=ANSWERING.keys())
def config(request):
    return request.param


@pytest.fixture
def samples(config):
    """As a loader gives them to the method."""
    match getattr(config, "takes", "clips"):
        case "trajectories":
            return trajectories(config)
        case "audio":
            return audio(config)
    read = clips(config)
    # images are clips of one picture
    sees_images = getattr(config.encoder, "tubelet", None) == 1
    return replace(read, pixels=read.pixels[:, :1]) if sees_images else read


@pytest.fixture
def model(objective):
    """One whose gates, which may begin closed, are open."""
    with torch.no_grad():
        for parameter in objective.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return objective.eval()


def energy(model, context, target):
    with torch.no_grad():
        return model.energy(context, target)


def test_every_jepa_answers():
    assert ANSWERING.keys() >= JEPAS


def test_each_pair_has_one_number_above_zero(model, samples):
    energies = energy(model, samples, samples)
    assert energies.shape == (samples.num_samples,)
    assert (energies.isfinite() & (energies > 0)).all()


def test_an_energy_depends_on_its_own_pair_alone(model, samples):
    # fp32: kernels add up in another order for another batch
    alone = energy(model, some(samples, slice(0, 1)), some(samples, slice(0, 1)))
    together = energy(model, samples, samples)[:1]
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-6)


def test_what_the_context_has_of_the_target_is_not_looked_at(model, samples):
    others = some(samples, torch.arange(samples.num_samples).roll(1))
    expected = energy(model, samples, others)
    told_wrong = energy(model, with_another_future(samples), others)
    torch.testing.assert_close(told_wrong, expected, rtol=1e-6, atol=0)


def test_it_depends_on_the_context_and_on_the_target(model, samples):
    others = some(samples, torch.arange(samples.num_samples).roll(1))
    own = energy(model, samples, samples)
    assert (energy(model, samples, others) != own).all()
    assert (energy(model, others, samples) != own).all()


def some(samples, which):
    if isinstance(samples, Audio):
        part = samples.map(lambda tensor: tensor[which])
        return replace(part, samples=tuple(range(len(part.waveform))))
    return (
        samples.map(lambda tensor: tensor[which])
        if isinstance(samples, Trajectories)
        else Clips(pixels=samples.pixels[which], samples=tuple(range(len(samples.pixels[which]))))
    )


def with_another_future(samples):
    """The same but for what belongs to the target."""
    if isinstance(samples, Trajectories):
        changed = torch.cat((samples.observations[:, :1], 255 - samples.observations[:, 1:]), dim=1)
        return replace(samples, observations=changed)
    if isinstance(samples, Audio):
        half = samples.waveform.shape[1] // 2
        ends = torch.cat((samples.waveform[:, :half], -2 * samples.waveform[:, half:]), dim=1)
        return replace(samples, waveform=ends)
    pixels = samples.pixels.clone()
    frames, height = pixels.shape[1:3]
    if frames > 1:
        pixels[:, frames // 2 :] = 255 - pixels[:, frames // 2 :]
    else:
        pixels[:, :, height // 2 :] = 255 - pixels[:, :, height // 2 :]
    return replace(samples, pixels=pixels)

import pytest
import torch

from worldmodel_train.evaluation.energies.pairs import mismatches, together
from worldmodel_train.types import Audio, Clips, Trajectories


@pytest.fixture
def clips():
    """Pixels that name their clip and picture."""
    pixels = 10 * torch.arange(5)[:, None] + torch.arange(8)
    pixels = pixels.to(torch.uint8)[..., None, None, None].expand(5, 8, 4, 4, 3)
    return Clips(pixels=pixels, samples=(0, 1, 2, 3, 4))


@pytest.fixture
def windows():
    numbers = torch.arange(5.0)
    return Trajectories(
        observations=numbers[:, None, None].expand(5, 3, 2),
        actions=numbers[:, None, None].expand(5, 2, 1),
        states=numbers[:, None, None].expand(5, 3, 4),
        samples=(0, 1, 2, 3, 4),
    )


def made(samples, way, seed=0):
    return mismatches(samples)[way](samples, torch.Generator().manual_seed(seed))


def names(clips):
    return clips.pixels[..., 0, 0, 0].int()


def test_what_is_goes_with_itself(clips):
    context, target = together(clips)
    assert torch.equal(names(context), names(target))


def test_nobody_is_set_beside_himself_and_everybody_is_somebodys_target(clips):
    for seed in range(20):
        context, target = made(clips, "other sample", seed)
        assert (names(context) != names(target)).all()
        assert sorted(target.samples) == [0, 1, 2, 3, 4]
        assert names(target)[:, 0].tolist() == [10 * sample for sample in target.samples]


@pytest.mark.parametrize("seed", range(10))
def test_time_is_shuffled_in_the_second_half_alone(clips, seed):
    context, target = made(clips, "time shuffled", seed)
    assert torch.equal(names(context), names(clips))
    assert torch.equal(names(target)[:, :4], names(clips)[:, :4])
    assert torch.equal(names(target)[:, 4:].sort(dim=1).values, names(clips)[:, 4:])
    assert not torch.equal(names(target), names(clips))


def test_time_is_reversed_in_the_second_half(clips):
    assert names(made(clips, "time reversed").target)[1].tolist() == [
        10, 11, 12, 13, 17, 16, 15, 14,
    ]  # fmt: skip


def test_images_have_no_time(clips):
    image = Clips(pixels=clips.pixels[:, :1], samples=clips.samples)
    assert mismatches(image).keys() == {"other sample"}


def test_other_actions_come_with_the_states_they_were_done_in(windows):
    context, target = made(windows, "other actions")
    assert torch.equal(context.observations, windows.observations)
    assert torch.equal(target.observations, windows.observations)
    assert (context.actions[:, 0, 0] != windows.actions[:, 0, 0]).all()
    assert torch.equal(context.actions[:, 0, 0], context.states[:, 0, 0])


def test_the_same_seed_makes_the_same_pairs(clips):
    one, other = (made(clips, "other sample", seed=3).target for _ in range(2))
    assert torch.equal(one.pixels, other.pixels)


@pytest.fixture
def sounds():
    """Samples that name their recording and moment."""
    waveform = 100.0 * torch.arange(4)[:, None] + torch.arange(32)
    return Audio(waveform=waveform, heard=torch.full((4,), 32), samples=(0, 1, 2, 3))


def test_of_sound_the_second_half_is_shuffled_in_pieces_or_reversed(sounds):
    first, second = sounds.waveform[:, :16], sounds.waveform[:, 16:]
    for way in ("time shuffled", "time reversed"):
        context, target = made(sounds, way)
        assert torch.equal(context.waveform, sounds.waveform)
        assert torch.equal(target.waveform[:, :16], first)
        assert not torch.equal(target.waveform[:, 16:], second)
        assert torch.equal(target.waveform[:, 16:].sort(dim=1).values, second)
    assert torch.equal(target.waveform[:, 16:], second.flip(1))
    pieces = made(sounds, "time shuffled").target.waveform[0, 16:].unflatten(0, (8, 2))
    assert (pieces.diff(dim=1) == 1).all()


def test_of_sound_the_target_may_be_another_recordings(sounds):
    context, target = made(sounds, "other sample")
    assert (context.waveform[:, 0] != target.waveform[:, 0]).all()

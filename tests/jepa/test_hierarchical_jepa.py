from dataclasses import replace

import pytest
import torch

from worldmodel_train.facts import ClipShape, DataFacts, RecipeFacts, SourceFacts
from worldmodel_train.jepa.hierarchical_jepa import Config
from worldmodel_train.types import Clips

FRAMES = 16  # 8 tubelets of 2, of which 4 are seen


@pytest.fixture
def config():
    tiny = Config.tiny()
    upper = tiny.upper.model_copy(update={"tubelets": 2})
    return tiny.model_copy(update={"near": 2, "upper": upper})


@pytest.fixture
def objective(config):
    torch.manual_seed(0)
    return config.build()


def clips(seed=0, number=3):
    generator = torch.Generator().manual_seed(seed)
    shape = (number, FRAMES, 16, 16, 3)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return Clips(pixels=pixels, samples=tuple(range(number)))


def with_other(of, frames):
    pixels = of.pixels.clone()
    pixels[:, frames] = clips(seed=1).pixels[:, frames]
    return replace(of, pixels=pixels)


def test_the_second_half_reaches_no_level_s_prediction(objective):
    one, other = (
        objective.predict_levels(content.pixels)
        for content in (clips(), with_other(clips(), slice(FRAMES // 2, None)))
    )
    for before, after in zip(one, other, strict=True):
        assert torch.equal(before.predicted, after.predicted)
        assert torch.equal(before.last, after.last)
        assert not torch.allclose(before.target, after.target, atol=0.1)


def test_each_level_s_prediction_hears_of_all_that_is_seen(objective):
    expected = objective.predict_levels(clips().pixels)
    for first in range(0, FRAMES // 2, 2):
        changed = objective.predict_levels(with_other(clips(), slice(first, first + 2)).pixels)
        for before, after in zip(expected, changed, strict=True):
            assert not torch.allclose(before.predicted, after.predicted, atol=1e-4)


def test_the_upper_level_looks_further_ahead_in_longer_steps(objective):
    lower, upper = objective.predict_levels(clips().pixels)
    assert (lower.frames, lower.target.shape[1:3]) == (2, (2, 4))  # near, and 2x2 places
    assert (upper.frames, upper.target.shape[1:3]) == (4, (2, 1))
    assert upper.frames * upper.target.shape[1] == FRAMES // 2


def test_a_step_is_the_mean_over_places_and_tubelets(objective):
    latents = torch.randn(3, 8 * 4, 48)
    steps = objective._pool(latents, places=4)
    assert steps.shape == (3, 4, 48)
    torch.testing.assert_close(steps[:, 1], latents[:, 8:16].mean(dim=1))


def test_targets_of_the_upper_level_are_what_its_copy_makes_of_the_lower_copy_s_steps(objective):
    pixels = clips().pixels
    with torch.no_grad():
        (tokens,) = objective.lower.teacher(pixels)
        steps = tokens.view(3, 4, 8, 48).mean(dim=2)
        (seen,) = objective.upper.teacher(steps)
    expected = torch.nn.functional.layer_norm(seen, (48,))[:, 2:, None]
    _, upper = objective.predict_levels(pixels)
    torch.testing.assert_close(upper.target, expected)


def test_spread_is_zero_of_what_is_apart_and_a_collapsed_level_is_pushed(objective):
    generator = torch.Generator().manual_seed(0)
    apart = torch.randn(4000, 1, 48, generator=generator)
    alike = apart[:1].expand(4000, -1, -1)
    assert objective._spread(apart) < 0.02  # sampling noise
    assert objective._spread(alike) > 0.98
    stuck = (alike + 0.01 * apart).requires_grad_()
    objective._spread(stuck).backward()
    further = stuck - 1000 * stuck.grad
    assert objective._spread(further) < objective._spread(stuck)


@pytest.mark.parametrize(("gradient", "reaches"), [("joint", True), ("stopped", False)])
def test_the_upper_loss_reaches_the_lower_encoder_as_the_config_says(config, gradient, reaches):
    torch.manual_seed(0)
    objective = config.model_copy(update={"gradient": gradient}).build()
    _, upper = objective._ahead(clips().pixels, clips().pixels)
    upper.pair.predicted.square().sum().backward()
    got = [p.grad is not None and bool(p.grad.any()) for p in objective.lower.encoder.parameters()]
    assert any(got) == reaches
    assert all(p.grad is not None for p in objective.upper.encoder.parameters())
    assert all(p.grad is None for p in objective.upper.teacher.parameters())


def test_both_levels_are_watched_sample_by_sample(objective):
    losses = objective.training_losses(clips())
    assert losses.latents.keys() == {"predicted", "target", "upper_predicted", "upper_target"}
    assert {len(rows) for rows in losses.latents.values()} == {len(losses.samples)}
    _, upper = objective.predict_levels(clips().pixels)
    for sample in range(3):
        watched = losses.latents["upper_target"][losses.samples == sample]
        assert torch.equal(watched.unique(dim=0), upper.target[sample, :, 0].unique(dim=0))


def test_the_total_weighs_the_upper_level(config):
    torch.manual_seed(0)
    losses = config.model_copy(update={"upper_weight": 0.25}).build().training_losses(clips())
    terms = losses.terms
    expected = terms["lower"] + terms["lower_spread"]
    expected += 0.25 * (terms["upper"] + terms["upper_spread"])
    torch.testing.assert_close(losses.total.detach(), expected)


def facts(frames):
    source = SourceFacts(key=("data", "sources", 0), clip=ClipShape(frames, 16, 16), share=1.0)
    return RecipeFacts(
        data=DataFacts(sources=(source,)),
        seed=0,
        steps=10,
        micro_batch=4,
        activation_checkpointing="none",
    )


def test_clips_that_are_no_whole_steps_or_too_short_are_refused(config):
    assert list(config.misfits(facts(16))) == []
    ((key, said),) = config.misfits(facts(12))
    assert key == ("data", "sources", 0, "clip", "frames")
    assert said.endswith("of method.upper.tubelets=2; use a multiple of 8 frames")
    ((key, said),) = config.model_copy(update={"near": 5}).misfits(facts(16))
    assert key == ("method", "near")
    assert said.startswith("only 4 tubelets come after the seen half")


def stills(seed, number=16):
    """Clips of one picture each, of four squares of random colours: what was tells what comes."""
    generator = torch.Generator().manual_seed(seed)
    squares = torch.randint(256, (number, 1, 2, 2, 3), dtype=torch.uint8, generator=generator)
    picture = squares.repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)
    return Clips(pixels=picture.repeat(1, FRAMES, 1, 1, 1), samples=tuple(range(number)))


@pytest.mark.slow  # 80 steps
def test_both_levels_learn_what_follows(objective):
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=2e-3)
    for step in range(80):
        optimizer.zero_grad()
        objective.training_losses(stills(step)).total.backward()
        optimizer.step()
        for pair in objective.ema_pairs():
            followed = zip(pair.teacher.parameters(), pair.student.parameters(), strict=True)
            for slow, fast in followed:
                slow.data.lerp_(fast.data, 0.02)
    with torch.no_grad():
        levels = objective.eval().predict_levels(stills(1000, number=64).pixels)
    for level, unexplained in zip(levels, (0.3, 0.3), strict=True):
        error = (level.predicted - level.target).square().mean()
        variance = level.target.var(dim=0, unbiased=False).mean()
        assert variance > 0.3  # of 1 that a normalised token has: it has not collapsed
        assert error < unexplained * variance

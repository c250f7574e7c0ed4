from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from tests.jepa.random_clips import random_clips
from worldmodel_train.jepa.mc_jepa import Config
from worldmodel_train.jepa.motion_terms import MotionWeights, motion_terms
from worldmodel_train.losses.vicreg import VARIANCE_EPS
from worldmodel_train.models.convnext import PyramidConfig
from worldmodel_train.models.flow.estimator import FlowConfig
from worldmodel_train.recipe import load_recipe
from worldmodel_train.types import Clips


@pytest.fixture
def objective():
    torch.manual_seed(0)
    return Config.tiny().build()


def textures(count, size=16, most=2, seed=0):
    """Smooth random pictures, all moved by an even flow of whole pixels that differs by clip."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, size // 2, size // 2, generator=generator)
    smooth = functional.interpolate(coarse, size=size, mode="bicubic", align_corners=False)
    steps = torch.randint(-most, most + 1, (count, 2), generator=generator)
    first = (255 * smooth.clamp(0, 1)).byte().permute(0, 2, 3, 1)
    second = torch.stack(
        [
            picture.roll((int(y), int(x)), dims=(0, 1))
            for picture, (x, y) in zip(first, steps, strict=True)
        ]
    )
    clips = Clips(pixels=torch.stack((first, second), dim=1), samples=tuple(range(count)))
    return clips, steps[:, :, None, None].expand(count, 2, size, size).float()


def test_the_total_is_the_weighted_sum_of_the_terms(objective):
    losses = objective.training_losses(random_clips())
    weights = objective.config.motion
    expected = 25 * losses.terms["content_invariance"] + 25 * losses.terms["content_variance"]
    expected = expected + losses.terms["content_covariance"]
    for name in ("regression", "photometric", "smoothness", "cycle", "variance", "covariance"):
        expected = expected + getattr(weights, name) * losses.terms[name]
    torch.testing.assert_close(losses.total.detach(), expected)


def test_each_loss_of_motion_trains_the_encoder(objective):
    """But smoothness, which sees it through the flow alone."""
    clips = random_clips()
    with torch.no_grad():
        objective.estimator.mend.weight.normal_(std=0.1)
    motion = objective._motion(clips.pixels[:, 0], clips.pixels[:, 1])
    for name, term in motion.items():
        gradients = torch.autograd.grad(
            term, list(objective.encoder.parameters()), retain_graph=True, allow_unused=True
        )
        assert any(one is not None and one.any() for one in gradients), name


def test_the_true_flow_explains_all_and_none_does_not():
    """Features here are the pixels themselves, so the errors are known: 0 away from the border."""
    clips, flow = textures(4, most=0)
    pixels = clips.pixels.float() / 255
    first = pixels[:, 0].permute(0, 3, 1, 2)
    moved = first.roll(2, dims=3)
    pictures = torch.cat((first, moved))
    step = torch.zeros_like(flow)
    step[:, 0] = 2.0
    true, none = torch.cat((step, -step)), torch.zeros(8, 2, 16, 16)
    right, wrong = (
        motion_terms([pictures], [one], pictures, MotionWeights()) for one in (true, none)
    )
    # two columns of 16 leave the picture and come in at its other side
    assert right["regression"] < 0.35 * wrong["regression"]
    assert right["photometric"] < 0.1 * wrong["photometric"]
    assert right["smoothness"] == wrong["smoothness"] == wrong["cycle"] == 0


def test_features_that_are_all_alike_predict_each_other_and_pay_for_it():
    levels, flows = [torch.ones(4, 5, 8, 8)], [torch.zeros(4, 2, 8, 8)]
    terms = motion_terms(levels, flows, torch.rand(4, 3, 8, 8), MotionWeights())
    assert terms["regression"] == terms["cycle"] == 0
    assert terms["variance"].item() == pytest.approx(1 - VARIANCE_EPS**0.5)


def test_frames_are_seen_one_by_one(objective):
    pixels = random_clips().pixels
    other = pixels.clone()
    other[:, 1] = 255 - other[:, 1]
    places = objective.token_grid(pixels).num_tokens // pixels.shape[1]
    one, changed = (objective.encode(clips).unflatten(1, (-1, places)) for clips in (pixels, other))
    assert torch.equal(one[:, [0, 2, 3]], changed[:, [0, 2, 3]])
    assert not torch.allclose(one[:, 1], changed[:, 1])


def test_a_film_that_goes_on_has_less_energy_than_one_that_becomes_another(objective):
    """Even untrained, as features and flow are of the pictures."""
    still = random_clips().pixels[:, :1].expand(-1, 4, -1, -1, -1)
    clips = Clips(pixels=still.contiguous(), samples=tuple(range(6)))
    others = replace(clips, pixels=clips.pixels.roll(1, dims=0))
    with torch.no_grad():
        assert (objective.energy(clips, clips) < 0.1 * objective.energy(clips, others)).all()


def test_the_estimator_has_a_rate_of_its_own():
    config = Config.tiny().model_copy(update={"estimator_rate": 0.25})
    rates = {group.name: group.rate_scale for group in config.build().parameter_groups()}
    assert rates["estimator"] == rates["estimator_no_decay"] == 0.25
    assert rates["encoder"] == rates["expander"] == 1


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.clip.frames=1", "flow needs two frames"),
        ("data.size=36", "36 is not a multiple of the stride of 4 levels=8; use 32 or 40"),
        ("method.estimator.finest=4", "4 leaves none of 4 levels that mends.*use 3 or less"),
        ("method.views.1.size=20", "20 is not a multiple of the stride of 4 levels=8"),
    ],
)
def test_clips_that_do_not_suit_it_are_refused(override, words):
    with pytest.raises(ValueError, match=words):
        load_recipe("mc_jepa_films", [override])


@pytest.mark.slow
def test_it_finds_how_textures_move():
    """End-point error on textures that it has not seen, against that of no flow."""
    torch.manual_seed(0)
    config = Config(
        encoder=PyramidConfig(widths=(8, 16, 24), depths=(0, 1, 1), kernel=3, layer_scale=1.0),
        estimator=FlowConfig(width=16, depth=2, reach=2),
        expander_widths=(32, 16),
    )
    objective = config.build()
    optimizer = torch.optim.AdamW(objective.parameters(), lr=3e-3)
    for step in range(60):
        clips, _ = textures(16, seed=step)
        optimizer.zero_grad()
        objective.training_losses(clips).total.backward()
        optimizer.step()
    clips, flow = textures(32, seed=10_000)
    found = objective.eval().flow(clips.pixels[:, 0], clips.pixels[:, 1])
    # what has come in at the border is nowhere to be found
    inside = (..., slice(2, -2), slice(2, -2))
    error = (found - flow).norm(dim=1)[inside].mean()
    assert error < 0.5 * flow.norm(dim=1)[inside].mean()

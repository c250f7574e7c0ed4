import pytest
import torch

from tests.jepa.random_clips import random_clips
from worldmodel_train.jepa.lejepa import Config, random_tokens
from worldmodel_train.recipe import load_recipe
from worldmodel_train.types import TokenGrid


@pytest.fixture
def objective():
    torch.manual_seed(0)
    return Config.tiny().build()


def test_a_view_has_its_share_of_each_clips_tokens_once_and_others_of_each():
    torch.manual_seed(0)
    config = Config.tiny().model_copy(update={"kept": 0.25})
    index = random_tokens(5, TokenGrid(4, 4, 4), config)
    assert index.shape == (5, 16)
    assert (index.diff(dim=1) > 0).all()
    assert len({tuple(row) for row in index.tolist()}) == 5


def test_hidden_tokens_are_not_seen():
    torch.manual_seed(0)
    still = {"contrast": 0.0, "brightness": 0.0, "light": 0.0}
    config = Config.tiny()
    config = config.model_copy(
        update={"kept": 0.01, "appearance": config.appearance.model_copy(update=still)}
    )
    objective = config.build().eval()
    # grey, so that the order of channels does not matter
    pixels = random_clips(1).pixels[..., :1].expand(-1, -1, -1, -1, 3).contiguous()
    grid = objective.token_grid(pixels)
    torch.manual_seed(3)
    (seen,) = random_tokens(1, grid, config)[0].tolist()
    torch.manual_seed(3)
    before = objective._view(pixels)
    other = pixels.clone()
    frame, place = divmod(seen, grid.height * grid.width)
    other[:, [t for t in range(4) if t // 2 != frame]] = 0
    torch.manual_seed(3)
    assert torch.equal(objective._view(other), before)
    pixels[:, 2 * frame, 8 * (place // grid.width), 8 * (place % grid.width)] ^= 255
    torch.manual_seed(3)
    assert not torch.equal(objective._view(pixels), before)


def test_embeddings_that_are_all_alike_agree_and_pay_for_it(objective):
    torch.manual_seed(0)
    spread = objective.training_losses(random_clips())
    with torch.no_grad():
        objective.projector[-1].weight.zero_()
        objective.projector[-1].bias.zero_()
    collapsed = objective.training_losses(random_clips())
    assert collapsed.terms["agreement"] == 0
    # all at zero: the statistic is 0.402 for each clip
    assert collapsed.terms["sigreg"] == pytest.approx(0.402 * 6, rel=1e-2)
    assert spread.terms["agreement"] > 0
    assert spread.terms["sigreg"] < collapsed.terms["sigreg"]


def test_clips_are_encoded_whole_and_always_alike(objective):
    clips = random_clips().pixels
    first = objective.encode(clips)
    assert first.shape == (6, objective.token_grid(clips).num_tokens, 48)
    assert not first.requires_grad
    assert torch.equal(objective.encode(clips), first)


def test_the_cost_counts_the_parameters_that_are_built():
    recipe = load_recipe("lejepa_films")
    cost = recipe.method.cost(recipe.facts)
    built = recipe.method.build()
    assert sum(cost.parameters.values()) == sum(p.numel() for p in built.parameters())
    assert cost.model_flops > 0

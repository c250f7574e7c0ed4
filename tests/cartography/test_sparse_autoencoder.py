"""A sparse autoencoder finds the directions that latents are made of."""

import pytest
import torch
from torch.nn import functional

from worldmodel_train.cartography.sparse_autoencoder import Config
from worldmodel_train.types import Latents

WIDTH, TRUE = 16, 32
APART = 1000  # under one seed the truth and the first directions would be the same numbers


@pytest.fixture(scope="module")
def truth():
    generator = torch.Generator().manual_seed(0)
    return functional.normalize(torch.randn(TRUE, WIDTH, generator=generator), dim=-1)


def latents(truth, count, seed):
    """Each the sum of two directions."""
    generator = torch.Generator().manual_seed(seed)
    which = torch.rand(count, TRUE, generator=generator).topk(2, dim=-1).indices
    strength = 0.5 + torch.rand(count, 2, generator=generator)
    return (truth[which] * strength[..., None]).sum(1)


def trained(truth, steps):
    torch.manual_seed(APART)
    model = Config(width=WIDTH, features=2 * TRUE, active=2, dead_after=20_000).build()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for step in range(steps):
        losses = model.training_losses(Latents(tokens=latents(truth, 512, step + 1)[None]))
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        with torch.no_grad():
            model.after_step()
    return model.eval(), losses


def test_directions_keep_length_one_and_their_gradient_has_no_part_along_them(truth):
    model, _ = trained(truth, 3)
    norms = model.directions.norm(dim=-1)
    torch.testing.assert_close(norms, torch.ones_like(norms))
    model.train().zero_grad()
    model.training_losses(Latents(tokens=latents(truth, 64, 9)[None])).total.backward()
    along = (model.directions.grad * model.directions).sum(-1)
    torch.testing.assert_close(along, torch.zeros_like(along), atol=1e-6, rtol=0)


def test_no_more_features_are_active_than_allowed(truth):
    model, _ = trained(truth, 3)
    assert ((model.encode(latents(truth, 100, 0)) > 0).sum(-1) <= 2).all()


def test_features_that_no_token_uses_are_dead_and_then_learn_from_the_rest(truth):
    torch.manual_seed(APART)
    model = Config(width=WIDTH, features=64, active=2, dead_after=100).build()
    with torch.no_grad():
        model.encoder.bias[5] = -100.0
    tokens = Latents(tokens=latents(truth, 512, 0)[None])
    assert model.training_losses(tokens).terms["dead"] > 0
    model.training_losses(tokens).total.backward()
    assert model.encoder.weight.grad[5].abs().sum() == 0, "it is below zero for every token"
    idle = model.idle.clone()
    model.eval().training_losses(tokens)
    assert torch.equal(model.idle, idle), "measuring does not count"


@pytest.mark.parametrize("name", ["topk", "batch_topk", "jumprelu"])
def test_dead_features_come_back_sooner_with_revival_whatever_is_kept(truth, name):
    with_it, without = (_dead_after_60_steps(truth, name, revival) for revival in (1 / 32, 0.0))
    assert with_it <= without // 2


def _dead_after_60_steps(truth, name, revival):
    """Of 16 features that no token keeps at first."""
    model, optimizer = _begun(truth, name, revival)
    with torch.no_grad():
        before = model._before(latents(truth, 512, 0) / model.scale)
        kept = model.activation(before)
        model.encoder.bias[:16] -= before[:, :16].amax(0) - 0.5 * kept[kept > 0].min()
    for step in range(60):
        losses = model.training_losses(Latents(tokens=latents(truth, 256, step + 1)[None]))
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        with torch.no_grad():
            model.after_step()
    return int((model.idle[:16] >= model.config.dead_after).sum())


def _begun(truth, name, revival):
    torch.manual_seed(APART)
    config = Config.model_validate(
        {
            "width": WIDTH, "features": TRUE, "active": 2, "dead_after": 1000,
            "activation": {"name": name}, "revival": revival,
        }
    )  # fmt: skip
    model = config.build()
    model.training_losses(Latents(tokens=latents(truth, 512, 0)[None]))
    return model, torch.optim.Adam(model.parameters(), lr=5e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"active": 65}, "method.active=65 of method.features=64; use fewer")],
)
def test_sizes_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Config(**{"width": WIDTH, "features": 64, "active": 2, **changes}).build()

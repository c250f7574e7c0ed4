"""PLDM: the equations of its loss, and that planners can search in it."""

import pytest
import torch

from worldmodel_train.facts import DataFacts, EpisodeFacts
from worldmodel_train.jepa.pldm import Config, Weights
from worldmodel_train.losses.vicreg import covariance_loss, variance_loss
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.protocols import LatentDynamics, LatentPredictor, Objective
from worldmodel_train.types import Trajectories

TINY = Config.tiny()
ONLY_PREDICTION = Weights(variance=0, covariance=0, smoothness=0, inverse=0)


def build(**changes):
    torch.manual_seed(0)
    return TINY.model_copy(update=changes).build()


def content(steps=3):
    generator = torch.Generator().manual_seed(1)
    return Trajectories(
        observations=torch.randint(
            0, 256, (8, steps + 1, 16, 16, 3), dtype=torch.uint8, generator=generator
        ),
        actions=torch.rand(8, steps, 2, generator=generator) * 2 - 1,
    )


def train(objective, steps):
    optimizer = torch.optim.AdamW(objective.parameters(), lr=3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        objective.training_losses(content()).total.backward()
        optimizer.step()
    return objective


def test_it_offers_what_training_and_planning_call():
    objective = build()
    assert isinstance(objective, Objective)
    assert isinstance(objective, LatentDynamics)
    assert not isinstance(objective, LatentPredictor)
    assert objective.ema_pairs() == []


def test_the_loss_is_its_five_terms_by_their_equations():
    objective, given = build(), content()
    losses = objective.training_losses(given)
    with torch.no_grad():
        latents = objective.latents(given.observations)
        now, errors = latents[:, 0], []
        for step in range(3):
            now = objective.norm(objective.predictor.cell(given.actions[:, step], now))
            errors.append((now - latents[:, step + 1]).square().mean())
        pairs = torch.cat((latents[:, :-1], latents[:, 1:]), dim=-1)
        expected = {
            "prediction": sum(errors) / 3,
            "variance": variance_loss(latents.transpose(0, 1)),
            "covariance": covariance_loss(latents.transpose(0, 1)),
            "smoothness": (latents[:, 1:] - latents[:, :-1]).square().mean(),
            "inverse": (objective.inverse(pairs.flatten(0, 1)).view(8, 3, 2) - given.actions)
            .square()
            .mean(),
        }
    assert losses.terms.keys() == expected.keys()
    for name, term in expected.items():
        torch.testing.assert_close(losses.terms[name], term, msg=name)
    weights = {"prediction": 1.0, **TINY.weights.model_dump()}
    total = sum(weights[name] * term for name, term in expected.items())
    torch.testing.assert_close(losses.total.detach(), total)


def test_defaults_are_the_released_weights():
    assert Weights().model_dump() == {
        "variance": 3.0, "covariance": 6.9238, "smoothness": 0.74242, "inverse": 1.072,
    }  # fmt: skip


def test_gradients_flow_into_targets_and_through_the_whole_rollout():
    """The last frame is a target only; the first is where all predictions come from."""
    objective, seen = build(weights=ONLY_PREDICTION), []
    objective.encoder.register_forward_hook(lambda _m, _inputs, output: seen.append(output))
    losses = objective.training_losses(content())
    (gradient,) = torch.autograd.grad(losses.total, seen)
    assert gradient[:, -1].any()
    first = seen[0][:, 0].detach().requires_grad_()
    rolled = objective.rolled_out(first, content().actions)
    assert torch.autograd.grad(rolled[:, -1].square().sum(), first)[0].any()


@pytest.mark.slow
def test_variance_and_covariance_are_what_keeps_latents_apart():
    spreads = []
    for weights in (ONLY_PREDICTION, Weights()):
        objective = train(build(weights=weights), steps=25).eval()
        latents = objective.encode(content().observations, content().actions).latents[:, 0]
        spreads.append((latents - latents.mean(dim=0)).square().mean().item())
    assert spreads[0] < 0.3 * spreads[1]


def test_a_rollout_of_plans_is_that_of_training():
    objective, given = train(build(), steps=1).eval(), content()
    belief = objective.encode(given.observations[:, :1], given.actions[:, :0])
    first = objective.latents(given.observations[:, :1])[:, 0]
    rolled = objective.rollout(belief, given.actions[:, None].expand(-1, 2, -1, -1))
    torch.testing.assert_close(rolled[:, 1], objective.rolled_out(first, given.actions))


def test_a_belief_is_the_last_observation_alone():
    objective, given = build().eval(), content()
    belief = objective.encode(given.observations, given.actions)
    alone = objective.encode(given.observations[:, -1:], given.actions[:, :0])
    assert torch.equal(belief.latents, alone.latents)
    assert belief.actions.shape == (8, 0, 2)
    assert objective.step(belief, given.actions[:, 0]).latents.shape == (8, 1, 32)


def test_planning_with_batch_norms_in_training_is_refused():
    with pytest.raises(AssertionError, match=r"call eval\(\) first"):
        build().encode(content().observations, content().actions)


def test_padding_is_refused():
    given = content()
    padded = Trajectories(
        observations=given.observations,
        actions=given.actions,
        valid=torch.ones(8, 4, dtype=torch.bool),
    )
    with pytest.raises(ValueError, match="stretches without padding"):
        build().training_losses(padded)


def test_an_encoder_of_several_frames_is_refused():
    with pytest.raises(ValueError, match=r"encoder.tubelet=2, but there is an action"):
        Config(actions=2, encoder=EncoderConfig(size="vit_tiny"))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({}, None),
        ({"steps": 3}, r"data\.steps=3 is not method\.rollout=3 and the first; use 4"),
        ({"observation": (30, 32, 3)}, r"30 is not a multiple of method\.encoder\.patch=8"),
        ({"observation": (7,)}, r"jepa/pldm learns from pictures .* of shape \(7,\)"),
        ({"action_width": 6}, r"method\.actions=2, but an action of a window has 6 numbers"),
        ({"discrete_actions": True}, "discrete actions"),
    ],
)
def test_episodes_that_do_not_fit_are_refused_before_anything_is_built(other, message):
    shapes = {"steps": 4, "observation": (32, 32, 3), "action_width": 2,
              "discrete_actions": False, "state_width": None}  # fmt: skip
    told = DataFacts(sources=(), kind="trajectories", episodes=EpisodeFacts(**(shapes | other)))
    if message is None:
        assert isinstance(TINY.build(told), LatentDynamics)
        return
    with pytest.raises(ValueError, match=message):
        TINY.build(told)

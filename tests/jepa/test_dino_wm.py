"""DINO-WM: a frozen encoder's patches, predicted from actions, and searched in."""

from functools import cache

import pytest
import torch
from torch.nn import functional

from tests.contracts.methods import METHODS
from worldmodel_train.facts import DataFacts, EpisodeFacts
from worldmodel_train.interop.motion import motion_parts
from worldmodel_train.jepa.dino_wm import Config
from worldmodel_train.models.frozen import FrozenPart, HasFrozen
from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.planners.cem import Config as CemConfig
from worldmodel_train.planners.energies import nearness
from worldmodel_train.protocols import LatentDynamics, Objective
from worldmodel_train.types import Trajectories

TINY = Config.tiny()
NOTHING_KNOWN = DataFacts(sources=(), kind="trajectories")


@cache
def encoder(method):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return METHODS[method].build().target_encoder


def build(method="jepa/vjepa", data=NOTHING_KNOWN):
    torch.manual_seed(0)
    frozen = FrozenPart(encoder(method), origin="target_encoder of a run")
    return TINY.build(data, encoder=frozen)


@pytest.fixture
def model():
    """One whose attention looks around."""
    objective = build().eval()
    for parameter in objective.predictor.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return objective


@pytest.fixture(scope="module")
def content():
    generator = torch.Generator().manual_seed(1)
    pictures = torch.randint(0, 256, (3, 4, 16, 24, 3), dtype=torch.uint8, generator=generator)
    return Trajectories(
        observations=pictures, actions=torch.rand(3, 3, 2, generator=generator) * 2 - 1
    )


def second(steps):
    """One in the second of some steps."""
    at = torch.zeros_like(steps)
    at[:, 1] = 1
    return at


def test_it_offers_what_training_and_planning_call(model):
    assert isinstance(model, Objective)
    assert isinstance(model, LatentDynamics)
    assert isinstance(model, HasFrozen)
    assert model.ema_pairs() == []


@pytest.mark.parametrize(("method", "repeated"), [("jepa/vjepa", 2), ("jepa/ijepa", 1)])
def test_patches_are_those_of_any_encoder_of_clips_or_images(method, repeated, content):
    model = build(method).eval()
    belief = model.encode(content.observations[:, :1], content.actions[:, :0])
    with torch.no_grad():
        (tokens,) = encoder(method)(content.observations[:, :1].expand(-1, repeated, -1, -1, -1))
    expected = functional.layer_norm(tokens, tokens.shape[-1:]).flatten(1)
    torch.testing.assert_close(model.latent(belief), expected)


def test_the_encoder_is_neither_trained_nor_saved(model, content):
    assert {name.partition(".")[0] for name in model.state_dict()} == {"predictor"}
    model.training_losses(content).total.backward()
    assert all(p.grad is None and not p.requires_grad for p in encoder("jepa/vjepa").parameters())


def test_the_loss_is_the_squared_error_of_a_step_from_every_prefix(model, content):
    losses = model.training_losses(content)
    latents, _ = model.frames(content.observations)
    errors = []
    for step in range(3):
        belief = model.encode(content.observations[:, : step + 1], content.actions[:, :step])
        after = model.step(belief, content.actions[:, step])
        errors.append((after.latents[:, -1] - latents[:, step + 1]).square().mean())
    torch.testing.assert_close(losses.total, sum(errors) / 3)
    copied = (latents[:, 1:] - latents[:, :-1]).square().mean()
    torch.testing.assert_close(losses.terms["copied"], copied)


def test_no_prediction_knows_of_a_later_frame_or_action(model, content):
    latents, grid = model.frames(content.observations)
    frames, actions = latents[:, :-1], content.actions
    before = model.predictor(frames, actions, grid)
    for changed in (
        model.predictor(frames + second(frames), actions, grid),
        model.predictor(frames, actions + second(actions), grid),
    ):
        moved = (changed != before).flatten(2).any(2).all(0)
        assert moved.tolist() == [False, True, True]


def test_every_patch_is_told_what_was_done_in_its_frame(model, content):
    """Channels beside its own are mapped with them into the stream; other frames' are not."""
    seen = []
    model.predictor.transformer.register_forward_hook(lambda _m, given, _o: seen.append(given[0]))
    latents, grid = model.frames(content.observations)
    model.predictor(latents[:, :-1], content.actions, grid)
    assert torch.equal(seen[0][..., :48], latents[:, :-1])
    done = seen[0][..., 48:]
    assert done.shape == (3, 3, 6, TINY.action_width)
    embed = model.predictor.action_embed
    expected = functional.linear(content.actions, embed.weight, embed.bias)
    torch.testing.assert_close(done, expected[:, :, None].expand_as(done))


def test_a_predictor_that_says_nothing_copies_the_last_frame(model, content):
    for parameter in model.predictor.transformer.proj.parameters():
        torch.nn.init.zeros_(parameter)
    losses = model.training_losses(content)
    assert losses.total == losses.terms["copied"]


def test_a_belief_holds_the_last_frames_that_a_prediction_is_made_from(model, content):
    belief = model.encode(content.observations, content.actions)
    recent = model.encode(content.observations[:, 1:], content.actions[:, 1:])
    assert torch.equal(belief.latents, recent.latents)
    assert torch.equal(belief.actions, recent.actions)
    after = model.step(belief, content.actions[:, 0])
    assert [part.shape[1] for part in (after.latents, after.actions)] == [3, 2]


def test_a_search_for_a_goal_finds_what_leads_there(model, content):
    """The goal is where the model itself gets to; the energy is the squared distance of patches."""
    belief = model.encode(content.observations[:, :1], content.actions[:, :0])
    true = torch.tensor([0.8, -0.6]).expand(3, 1, 1, 2)
    with torch.no_grad():
        goal = model.rollout(belief, true)[:, 0, 0]
        still = (model.rollout(belief, 0 * true)[:, 0, 0] - goal).square().mean(dim=-1)
    search = CemConfig(horizon=1, candidates=40, elites=8, iterations=6)
    plan = search.build(Bounds(low=-torch.ones(2), high=torch.ones(2))).plan(
        model, belief, nearness(goal, "l2"), generator=torch.Generator().manual_seed(0)
    )
    assert (plan.energy < 0.3 * still).all()


def test_metas_layout_has_no_place_for_it(model):
    assert motion_parts(model) is None


def test_padding_is_refused(model, content):
    padded = Trajectories(
        observations=content.observations,
        actions=content.actions,
        valid=torch.ones(3, 4, dtype=torch.bool),
    )
    with pytest.raises(ValueError, match="stretches without padding"):
        model.training_losses(padded)


def test_a_part_that_encodes_nothing_is_refused():
    frozen = FrozenPart(torch.nn.Linear(2, 2), origin="predictor of a run")
    with pytest.raises(ValueError, match=r"method\.encoder: predictor of a run is a Linear"):
        TINY.build(NOTHING_KNOWN, encoder=frozen)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({}, None),
        ({"steps": 2}, None),
        ({"steps": 5}, r"data\.steps=5 is not 2 to method\.history=3 and the next; use 4"),
        ({"observation": (30, 32, 3)}, r"30 is not a multiple of target_encoder of a run: enc"),
        ({"action_width": 6}, r"method\.actions=2, but an action of a window has 6 numbers"),
        ({"discrete_actions": True}, "discrete actions"),
    ],
)
def test_episodes_that_do_not_fit_are_refused_before_anything_is_built(other, message):
    shapes = {"steps": 4, "observation": (32, 32, 3), "action_width": 2,
              "discrete_actions": False, "state_width": None}  # fmt: skip
    told = DataFacts(sources=(), kind="trajectories", episodes=EpisodeFacts(**(shapes | other)))
    if message is None:
        assert build(data=told).history == 3
        return
    with pytest.raises(ValueError, match=message):
        build(data=told)

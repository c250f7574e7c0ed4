"""V-JEPA 2-AC: the equations of its losses, and that planners can search in it."""

from functools import cache

import pytest
import torch
from torch.nn import functional

from tests.contracts.methods import METHODS
from worldmodel_train.facts import DataFacts, EpisodeFacts
from worldmodel_train.jepa.vjepa2_ac import Config
from worldmodel_train.models.beliefs import SeenFrames
from worldmodel_train.models.frozen import FrozenPart, HasFrozen
from worldmodel_train.models.robot_pose import pose_changes
from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.planners.cem import Config as CemConfig
from worldmodel_train.protocols import LatentDynamics, Objective
from worldmodel_train.types import Trajectories

TINY = Config.tiny()
NOTHING_KNOWN = DataFacts(sources=(), kind="trajectories")


@cache
def encoder():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return METHODS["jepa/vjepa"].build().target_encoder


def build(config=TINY, data=NOTHING_KNOWN):
    torch.manual_seed(0)
    return config.build(data, encoder=FrozenPart(encoder(), origin="target_encoder of a run"))


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
    poses = torch.rand(3, 4, 7, generator=generator) * 0.8
    return Trajectories(
        observations=pictures, actions=torch.full((3, 3, 2), torch.nan), states=poses
    )


def seen(model, content):
    """All frames of the windows, as training sees them."""
    latents, grid = model.frames(content.observations)
    return SeenFrames(latents, pose_changes(content.states), content.states, grid)


def first_frames(model, content, count):
    """The belief after so many frames."""
    changes = pose_changes(content.states)[:, : count - 1]
    return model.encode(content.observations[:, :count], changes, content.states[:, :count])


def test_it_offers_what_training_and_planning_call(model):
    assert isinstance(model, Objective)
    assert isinstance(model, LatentDynamics)
    assert isinstance(model, HasFrozen)
    assert model.frozen_parts().keys() == {"encoder"}
    assert model.ema_pairs() == []


def test_a_frame_is_encoded_by_itself_doubled_and_normalised(model, content):
    latents, grid = model.frames(content.observations)
    assert grid == (1, 2, 3)
    for step in range(4):
        frame = content.observations[:, step : step + 1]
        with torch.no_grad():
            (tokens,) = encoder()(torch.cat((frame, frame), dim=1))
        expected = functional.layer_norm(tokens, (48,))
        torch.testing.assert_close(latents[:, step], expected)


def test_the_encoder_is_neither_trained_nor_saved(model, content):
    assert {name.partition(".")[0] for name in model.state_dict()} == {"predictor"}
    model.training_losses(content).total.backward()
    assert all(p.grad is None and not p.requires_grad for p in encoder().parameters())


def test_teacher_forcing_is_a_step_from_every_prefix(model, content):
    forced = model.teacher_forced(seen(model, content))
    changes = pose_changes(content.states)
    for step in range(3):
        after = model.step(first_frames(model, content, step + 1), changes[:, step])
        torch.testing.assert_close(forced[:, step], after.latents[:, -1])


def test_no_prediction_knows_of_a_later_frame_or_change(model, content):
    """A pose is in the change that leads to it, so that of frame 2 is known from frame 1 on."""
    before = model.teacher_forced(seen(model, content))
    later = content.observations.clone()
    later[:, 2] = 255 - later[:, 2]
    other = Trajectories(observations=later, actions=content.actions, states=content.states)
    changed = model.teacher_forced(seen(model, other))
    assert (changed != before).flatten(2).any(2).all(0).tolist() == [False, False, True]
    poses = content.states.clone()
    poses[:, 2] += 0.1
    other = Trajectories(observations=content.observations, actions=content.actions, states=poses)
    changed = model.teacher_forced(seen(model, other))
    assert (changed != before).flatten(2).any(2).all(0).tolist() == [False, True, True]


@pytest.mark.parametrize("rollout", [1, 2, 3])
def test_a_rollout_in_training_is_so_many_steps_of_the_belief(model, content, rollout):
    model.steps_rolled_out = rollout
    frames = seen(model, content)
    rolled = model.rolled_out(frames, model.teacher_forced(frames)[:, :1])
    assert rolled.shape[1] == rollout
    belief = first_frames(model, content, 1)
    for step in range(rollout):
        belief = model.step(belief, pose_changes(content.states)[:, step])
        torch.testing.assert_close(rolled[:, step], belief.latents[:, -1])
        torch.testing.assert_close(belief.states[:, -1], content.states[:, step + 1])


def test_the_loss_is_the_absolute_error_of_both(model, content):
    losses = model.training_losses(content)
    frames = seen(model, content)
    target = frames.latents
    forced = model.teacher_forced(frames)
    second = model.rolled_out(frames, forced[:, :1])[:, 1]
    teacher = sum((forced[:, k] - target[:, k + 1]).abs().mean() for k in range(3)) / 3
    rollout = (
        (forced[:, 0] - target[:, 1]).abs().mean() + (second - target[:, 2]).abs().mean()
    ) / 2
    torch.testing.assert_close(losses.terms["teacher_forced"], teacher.detach())
    torch.testing.assert_close(losses.terms["rolled_out"], rollout.detach())
    torch.testing.assert_close(losses.total, teacher + rollout)
    copied = (target[:, 1:] - target[:, :-1]).abs().mean()
    torch.testing.assert_close(losses.terms["copied"], copied)


def test_gradients_go_through_the_prediction_that_a_rollout_goes_on_from(model, content):
    frames = seen(model, content)
    first = model.teacher_forced(frames)[:, :1].detach().requires_grad_()
    (gradient,) = torch.autograd.grad(model.rolled_out(frames, first)[:, 1].square().sum(), first)
    assert gradient.any()


def test_what_was_recorded_as_actions_is_not_read(model, content):
    """They are NaN here."""
    assert torch.isfinite(model.training_losses(content).total)


def test_a_rollout_is_its_steps_for_each_candidate(model, content):
    belief = first_frames(model, content, 2)
    actions = torch.randn(3, 5, 4, 7, generator=torch.Generator().manual_seed(2)) / 10
    calls = []
    model.predictor.register_forward_hook(lambda _m, inputs, _o: calls.append(len(inputs[0])))
    rolled = model.rollout(belief, actions)
    assert calls == [3 * 5] * 4
    assert rolled.shape == (3, 5, 4, 6 * 48)
    now = belief
    for step in range(4):
        now = model.step(now, actions[:, 3, step])
        torch.testing.assert_close(rolled[:, 3, step], now.latents[:, -1].flatten(1))
        torch.testing.assert_close(rolled[:, 3, step], model.latent(now))
    alone = first_frames(model, Trajectories(
        observations=content.observations[[2]], actions=content.actions[[2]],
        states=content.states[[2]]), 2)  # fmt: skip
    torch.testing.assert_close(model.rollout(alone, actions[[2], 1:2]), rolled[[2], 1:2])


def test_gradients_reach_the_actions_by_way_of_poses_too(model, content):
    """The first change moves the pose that the second step starts from."""
    belief = first_frames(model, content, 1)
    actions = torch.full((3, 1, 2, 7), 0.01, requires_grad=True)
    model.rollout(belief, actions)[:, :, 1].square().sum().backward()
    assert actions.grad.abs().amin(dim=(0, 1)).min() > 0
    states = model.step(belief, actions[:, 0, 0]).states[:, 1]
    (gradient,) = torch.autograd.grad(states.sum(), actions)
    assert gradient[:, 0, 0].any()


def test_a_belief_holds_the_last_frames_that_a_prediction_is_made_from(model, content):
    belief = first_frames(model, content, 4)
    assert len(belief) == 3
    assert [part.shape[1] for part in (belief.latents, belief.actions, belief.states)] == [3, 2, 3]
    torch.testing.assert_close(belief.latents, seen(model, content).latents[:, 1:])
    torch.testing.assert_close(belief.actions, pose_changes(content.states)[:, 1:])
    after = model.step(belief, torch.zeros(3, 7))
    assert [part.shape[1] for part in (after.latents, after.actions, after.states)] == [3, 2, 3]


def test_a_search_for_a_goal_finds_what_leads_there(model, content):
    """The goal is where the model itself gets to; the energy is the L1 distance of latents."""
    belief = first_frames(model, content, 1)
    true = torch.tensor([0.05, -0.05, 0.05, 0, 0, 0, 0.2]).expand(3, 1, 1, 7)
    with torch.no_grad():
        goal = model.rollout(belief, true)[:, 0, 0]
        still = (model.rollout(belief, 0 * true)[:, 0, 0] - goal).abs().mean(dim=-1)
    reach = torch.tensor([0.075, 0.075, 0.075, 0.01, 0.01, 0.01, 0.75])
    search = CemConfig(horizon=1, candidates=40, elites=8, iterations=6)
    plan = search.build(Bounds(low=-reach, high=reach)).plan(
        model,
        belief,
        lambda latents, _actions: (latents[:, :, -1] - goal[:, None]).abs().mean(dim=-1),
        generator=torch.Generator().manual_seed(0),
    )
    assert (plan.energy < 0.5 * still).all()


def test_planning_without_a_pose_is_refused(model, content):
    with pytest.raises(ValueError, match="plans from the pose of the gripper too; give the states"):
        model.encode(content.observations, pose_changes(content.states))


def test_padding_is_refused(model, content):
    padded = Trajectories(
        observations=content.observations,
        actions=content.actions,
        states=content.states,
        valid=torch.ones(3, 4, dtype=torch.bool),
    )
    with pytest.raises(ValueError, match="stretches without padding"):
        model.training_losses(padded)


def test_a_rollout_beyond_the_history_is_refused():
    with pytest.raises(ValueError, match="rollout=4 frames need as much history, which is 3"):
        Config(**(dict(TINY) | {"rollout": 4}))


def test_a_part_that_is_no_encoder_is_refused():
    with pytest.raises(ValueError, match=r"it is a Linear, not an encoder of clips; use a part"):
        TINY.build(NOTHING_KNOWN, encoder=FrozenPart(torch.nn.Linear(2, 2), origin="it"))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({}, None),
        ({"steps": 3}, None),
        ({"steps": 2}, r"data\.steps=2 is not 3 \(method\.rollout and the first\) to 4 .*; use 4"),
        ({"steps": 5}, r"data\.steps=5 is not 3"),
        ({"observation": (30, 32, 3)}, r"30 is not a multiple of target_encoder of a run: encoder"),
        ({"observation": (7,)}, r"observations of shape \(7,\) and 7 numbers of states"),
        ({"state_width": None}, r"poses of 7 numbers, and the episodes .* no numbers of states"),
        ({"action_width": 28}, None),
    ],
)
def test_episodes_that_do_not_fit_are_refused_before_anything_is_built(other, message):
    shapes = {"steps": 4, "observation": (32, 32, 3), "action_width": 7,
              "discrete_actions": False, "state_width": 7}  # fmt: skip
    told = DataFacts(sources=(), kind="trajectories", episodes=EpisodeFacts(**(shapes | other)))
    if message is None:
        assert build(data=told).history == 3
        return
    with pytest.raises(ValueError, match=message):
        build(data=told)

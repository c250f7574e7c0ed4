"""What TD-MPC2 alone promises, and its recipe."""

import json
import signal
from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from tests.contracts.methods import trajectories
from worldmodel_train.agents.tdmpc2 import Config
from worldmodel_train.cli.run_spec import pretrain_parts
from worldmodel_train.facts import DataFacts, EpisodeFacts
from worldmodel_train.planners import mppi
from worldmodel_train.protocols import LatentDynamics
from worldmodel_train.recipe import load_recipe
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.reader import read_weights
from worldmodel_train.training.run import pretrain

TINY = Config.tiny()
SMALL = (
    "train.steps=12", "train.global_batch=8", "train.micro_batch=8", "log.every_steps=1",
    "checkpoint.every_steps=5", "data.random_episodes=1", "data.every_steps=4", "data.longest=6",
    "method.latent=16", "method.width=16", "method.encoder_width=16",
    "method.planner={horizon: 2, candidates: 12, elites: 4, iterations: 2}", "method.proposals=2",
)  # fmt: skip


@pytest.fixture
def model():
    """Heads that begin at zero say something."""
    torch.manual_seed(0)
    model = TINY.build().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def test_it_is_a_latent_dynamics(model):
    assert isinstance(model, LatentDynamics)


def test_the_energy_of_a_plan_is_minus_its_return_with_the_value_at_its_end(model):
    belief = model.encoder(torch.randn(2, 3))
    actions = torch.rand(2, 5, 3, 2) * 2 - 1

    def generator():
        return torch.Generator().manual_seed(1)

    found = model.plan_energy(belief, generator())(model.rollout(belief, actions), actions)
    drawn = generator()
    expected = torch.zeros(2, 5)
    now = belief[:, None].expand(-1, 5, -1)
    for time in range(3):
        acted = torch.cat((now, actions[:, :, time]), dim=-1)
        expected += 0.99**time * model.bins.decode(model.reward(acted))
        now = model.dynamics(acted)
    last, _ = model.policy(now, drawn)
    one, two = model.value(now, last, model.value.draw_two(drawn))
    expected += 0.99**3 * (model.bins.decode(one) + model.bins.decode(two)) / 2
    torch.testing.assert_close(found, -expected)


def test_a_value_target_is_the_lesser_of_two_copies_and_none_where_the_episode_ended(model):
    content = trajectories(TINY)
    latents = model.encoder(content.observations[:, 1:])
    torch.manual_seed(3)
    found = model._target(latents)
    torch.manual_seed(3)
    actions, _ = model.policy(latents)
    both = model.bins.decode(model.target_value(latents, actions, model.target_value.draw_two()))
    torch.testing.assert_close(found, both.amin(dim=0))
    counted = model._continuation(content)
    assert torch.equal(counted == 0, content.ends)
    assert (counted[~content.ends] == torch.tensor(0.99)).all()


def test_later_steps_of_a_window_count_less(model):
    losses = torch.tensor([[8.0, 0.0, 0.0], [0.0, 0.0, 8.0]])
    torch.testing.assert_close(model._over_window(losses), torch.tensor((8 + 8 / 4) / 6))


def test_the_policys_loss_gives_values_and_model_no_gradient(model):
    critic, actor = model.phases(trajectories(TINY))
    critic.losses()
    model.zero_grad()
    actor.losses().total.backward()
    reached = {n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None}
    assert reached == {"policy"}


def test_only_a_training_step_moves_the_scale_of_returns(model):
    content = trajectories(TINY)
    model.training_losses(content)
    assert model.scale.value == 1
    with torch.no_grad():
        for member in model.value.members:
            member[-1].weight.mul_(30)
    for phase in model.phases(content):
        phase.losses()
    assert model.scale.value > 1


def test_the_encoder_learns_more_slowly_and_the_copies_have_their_own_momentum(model):
    rates = {group.name: group.rate_scale for group in model.parameter_groups()}
    assert {name for name, rate in rates.items() if rate == 0.3} == {"encoder", "encoder_no_decay"}
    assert all(rate == 1 for name, rate in rates.items() if not name.startswith("encoder"))
    (pair,) = model.ema_pairs()
    assert pair.momentum == 0.99


def test_targets_are_made_without_dropout():
    model = Config.tiny().build().train()
    assert model.value.training
    assert not any(module.training for module in model.target_value.modules())


def test_a_plan_is_searched_from_where_the_last_one_ended(model):
    starts = []

    class Watched(mppi.Mppi):
        def search(self, *arguments, warm_start, **rest):
            found = super().search(*arguments, warm_start=warm_start, **rest)
            starts.append((warm_start, found.mean))
            return found

    class Watching(mppi.Config):
        def build(self, bounds):
            return Watched(self, bounds)

    model.config = TINY.model_copy(update={"planner": Watching(**dict(TINY.planner))})
    generator, memory = torch.Generator().manual_seed(0), None
    for _ in range(2):
        _, memory = model.greedy().act(torch.zeros(1, 3), memory, generator=generator)
    (none, first), (second, _) = starts
    assert none is None
    assert torch.equal(second[:, :-1], first[:, 1:])
    assert not second[:, -1].any()


EPISODES = EpisodeFacts(
    steps=4, observation=(3,), action_width=2, discrete_actions=False, state_width=None
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observation": (64, 64, 3)}, r"learns from vectors .* of shape \(64, 64, 3\)"),
        ({"discrete_actions": True}, "continuous actions, and .* discrete actions"),
        ({"observation": (5,)}, r"method\.observations=3, but the episodes have 5; use 5"),
        ({"action_width": 1}, r"method\.actions=2, but the episodes have 1; use 1"),
        ({"steps": 1}, r"data\.steps=1 has no action; use 2 or more"),
    ],
)
def test_episodes_that_it_cannot_learn_from_are_refused(changes, message):
    TINY.build(DataFacts(sources=(), kind="trajectories", episodes=EPISODES))
    other = DataFacts(sources=(), kind="trajectories", episodes=replace(EPISODES, **changes))
    with pytest.raises(ValueError, match=message):
        TINY.build(other)


def test_windows_without_rewards_are_refused(model):
    with pytest.raises(ValueError, match="learns from rewards, and the episodes have none"):
        model.training_losses(replace(trajectories(TINY), rewards=None))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent": 20}, r"latent=20 is not a multiple of simplex=8; use 24"),
        ({"proposals": 16}, r"proposals=16 leave none of planner\.candidates=16"),
    ],
)
def test_counts_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        Config.model_validate({**TINY.model_dump(), **changes})


@pytest.mark.slow
def test_its_recipe_acts_trains_and_resumes_to_the_bit(tmp_path):
    def run(name, stop=None):
        parts = pretrain_parts(load_recipe("tdmpc2_pendulum", (*SMALL, f"run_dir={name}")), "auto")

        def loader(**place):
            for number, batch in enumerate(parts.build_loader(**place)):
                if number == stop:
                    signal.raise_signal(signal.SIGTERM)
                yield batch

        return pretrain(replace(parts, build_loader=loader)).exit_code

    one, two = tmp_path / "one", tmp_path / "two"
    assert [run(one), run(two, 7), run(two)] == [0, 143, 0]
    measured = [
        [{k: v for k, v in json.loads(line).items() if k not in ("clips_per_s", "step_ms",
         "data_wait")} for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
        for run_dir in (one, two)
    ]  # fmt: skip
    assert measured[0] == measured[1]
    assert measured[0][-1]["acting"]["episodes"] == 1 + 2
    assert {"terms/model", "terms/policy"} <= measured[0][-1].keys()
    weights = [read_weights(CheckpointFolder(run_dir).last()) for run_dir in (one, two)]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())

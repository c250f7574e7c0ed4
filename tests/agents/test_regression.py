import pytest
import torch

from worldmodel_train.agents.goal_networks import Critic, ReactivePolicy
from worldmodel_train.agents.regression import Regression, regress
from worldmodel_train.agents.short_term_memory import Moment, ShortTermMemory

FAST = Regression(steps=200, batch=32, rate=5e-3)


def generator():
    return torch.Generator().manual_seed(0)


def test_a_critic_learns_how_many_steps_are_to_go_on_a_line():
    """Each step costs 1 until the goal is reached, and is one to the right: 0 to 7 to a goal."""
    torch.manual_seed(0)
    memory, place, goal = ShortTermMemory(), torch.arange(8.0), torch.full((8,), 7.0)
    for _ in range(12):
        memory.note(
            Moment(
                latent=place[:, None],
                goal=goal[:, None],
                cost=(place < goal).float(),
                actions=torch.ones(8, 1, 1),
            )
        )
        place = torch.minimum(place + 1, goal)
    lessons = memory.lessons_of_cost(window=8)
    critic = Critic(latents=1)
    loss = regress(critic, (lessons.latents, lessons.goals), lessons.targets, FAST, generator())
    starts = torch.arange(8.0)[:, None]
    with torch.no_grad():
        to_go = 8 * critic(starts, goal[:, None])
    # the step that a moment is in is paid already
    torch.testing.assert_close(to_go, torch.tensor([6.0, 5, 4, 3, 2, 1, 0, 0]), atol=0.5, rtol=0)
    assert loss < 0.01


def test_the_same_generator_draws_the_same_lessons():
    def learned():
        torch.manual_seed(1)
        policy = ReactivePolicy(latents=1, actions=1)
        inputs = torch.linspace(-1, 1, 50)[:, None]
        loss = regress(
            policy, (inputs, inputs.flip(0)), 0.5 * inputs, Regression(steps=20), generator()
        )
        return loss, policy(inputs, inputs)

    (first, one), (second, two) = learned(), learned()
    assert first == second
    assert torch.equal(one, two)


def test_nothing_to_learn_from_is_refused():
    empty = torch.empty(0, 1)
    with pytest.raises(ValueError, match="nothing to learn from"):
        regress(Critic(latents=1), (empty, empty), torch.empty(0), FAST, generator())

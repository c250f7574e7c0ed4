import pytest
import torch

from worldmodel_train.agents.short_term_memory import Advice, Moment, ShortTermMemory


def moment(number, advice=None):
    latent = torch.tensor([[float(number)], [10.0 + number]])
    return Moment(
        latent=latent,
        goal=torch.tensor([[5.0], [6.0]]),
        cost=latent[:, 0],
        actions=torch.zeros(2, 1, 1),
        advice=advice,
    )


def memory_of(*moments):
    memory = ShortTermMemory()
    for each in moments:
        memory.note(each)
    return memory


def test_moments_are_kept_in_order_until_an_episode_begins():
    memory = memory_of(*map(moment, range(4)))
    assert [each.latent[0, 0].item() for each in memory.moments] == [0, 1, 2, 3]
    memory.forget()
    assert memory.moments == []


def test_a_critic_is_taught_the_mean_of_the_costs_that_follow():
    lessons = memory_of(*map(moment, range(4))).lessons_of_cost(window=2)
    assert lessons.latents.flatten().tolist() == [0, 10, 1, 11]
    assert lessons.targets.tolist() == [1.5, 11.5, 2.5, 12.5]
    assert lessons.goals.flatten().tolist() == [5, 6, 5, 6]


@pytest.mark.parametrize("window", [0, 4])
def test_a_window_that_no_episode_has_is_refused(window):
    with pytest.raises(ValueError, match=f"window={window} .* the episode has 4; use 1 to 3"):
        memory_of(*map(moment, range(4))).lessons_of_cost(window)


def test_a_critic_does_not_mix_up_worlds_of_which_some_have_left():
    whole = moment(1)
    left = Moment(
        latent=whole.latent[:1], goal=whole.goal[:1], cost=whole.cost[:1], actions=whole.actions[:1]
    )
    with pytest.raises(ValueError, match="not acted in to the end; act in all of them"):
        memory_of(moment(0), left, left).lessons_of_cost(window=1)


def test_a_policy_is_taught_each_action_of_the_advice_where_it_is_done():
    advice = Advice(
        latents=torch.tensor([[[1.0], [2.0]], [[4.0], [5.0]]]),
        actions=torch.tensor([[[0.5], [0.25]], [[-0.5], [-0.25]]]),
    )
    lessons = memory_of(moment(0), moment(1, advice)).lessons_of_advice()
    assert lessons.latents.flatten().tolist() == [1, 2, 4, 5]
    assert lessons.targets.flatten().tolist() == [0.5, 0.25, -0.5, -0.25]
    assert lessons.goals.flatten().tolist() == [5, 5, 6, 6]


def test_what_was_not_advised_cannot_be_learned():
    with pytest.raises(ValueError, match="no advice of Mode-2"):
        memory_of(moment(0)).lessons_of_advice()

"""Which windows a sample can be."""

from collections import Counter
from itertools import chain

import pytest
import torch

from worldmodel_train.collection.windows import Windows


def windows(episodes, *, steps=3, seed=0):
    made = Windows(steps=steps, seed=seed)
    for episode in episodes:
        made.add(episode)
    return made


def places(drawn):
    return [tuple(row) for row in drawn.observations[:, 0].int().tolist()]


def test_a_window_is_a_stretch_of_one_episode(episode):
    drawn = windows([episode(5, 0), episode(4, 1)]).draw(range(40), visible=2)
    first = drawn.observations[:, :1]
    torch.testing.assert_close(
        drawn.observations - first, torch.tensor([[0, 0], [0, 1], [0, 2]]).float().expand(40, 3, 2)
    )
    torch.testing.assert_close(drawn.actions, drawn.observations[:, :-1, 1:])
    torch.testing.assert_close(drawn.rewards, drawn.actions[..., 0])
    ends = drawn.observations[:, 1:, 1] == torch.where(first[..., 0] == 0, 5, 4)
    assert torch.equal(drawn.ends, ends)


def test_each_window_is_as_likely_whichever_episode_it_is_of(episode):
    drawn = windows([episode(3, 0), episode(9, 1), episode(1, 2)]).draw(range(10_000), visible=3)
    counts = Counter(places(drawn))
    assert len(counts) == 2 + 8
    assert all(800 < count < 1200 for count in counts.values())


def test_a_sample_hangs_on_its_number_the_seed_and_what_is_visible(episode):
    episodes = [episode(20, number) for number in range(4)]
    whole = places(windows(episodes).draw(range(16), visible=3))
    parts = [places(windows(episodes).draw(range(n, n + 4), visible=3)) for n in range(0, 16, 4)]
    assert whole == list(chain(*parts))
    assert whole == places(windows(episodes[:3]).draw(range(16), visible=3))
    assert whole != places(windows(episodes, seed=1).draw(range(16), visible=3))


def test_episodes_that_are_all_too_short_are_refused(episode):
    with pytest.raises(ValueError, match=r"none of 2 episodes has 3 observations; use fewer data"):
        windows([episode(1), episode(1)]).draw(range(4), visible=2)

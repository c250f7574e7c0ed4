"""Episodes are judged by what an ensemble makes of their latents."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from worldmodel_train.collection.disagreement import Disagreement, FrameLatents
from worldmodel_train.collection.ensemble import Ensemble
from worldmodel_train.jepa.leworldmodel import Config
from worldmodel_train.protocols import LatentDynamics


class Rising(Ensemble):
    """Disagrees by the first number of a latent."""

    def __init__(self):
        torch.nn.Module.__init__(self)

    def disagreement(self, latents, actions):
        assert len(latents) == len(actions)
        return latents[:, 0]


class Vectors(LatentDynamics):
    """Latents are what is observed, doubled."""

    def encode(self, observations, actions):
        assert observations.shape[1] == 1
        assert actions.shape == (len(observations), 0, 3)
        return observations[:, 0]

    def latent(self, belief):
        return 2 * belief


LATENTS = FrameLatents(model=Vectors(), action_width=3)


def test_the_mean_is_taken_over_an_episodes_actions(episode):
    judge = Disagreement(latents=LATENTS, ensemble=Rising())
    assert judge(episode(4, number=3)) == 6
    assert judge(episode(400, number=5)) == 10


def test_transitions_are_all_actions_of_all_episodes(episode):
    found = LATENTS.transitions([episode(2, number=3), episode(3, number=4)])
    assert found.latents.tolist() == [[6, 0], [6, 2], [8, 0], [8, 2], [8, 4]]
    assert found.following.tolist() == [[6, 2], [6, 4], [8, 2], [8, 4], [8, 6]]
    assert found.actions.tolist() == [[0], [1], [0], [1], [2]]
    assert found.episode.tolist() == [0, 0, 1, 1, 1]


def test_latents_of_a_model_are_those_of_each_frame_by_itself():
    torch.manual_seed(0)
    model = Config.tiny().build().eval()
    frames = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    found = FrameLatents(model=model, action_width=2).of(frames)
    with torch.no_grad():
        expected = model.encoder(torch.from_numpy(frames)[None])[0]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observations": None}, "lie in a video, which no ensemble reads"),
        ({"observations": np.full((4, 2), np.nan, np.float32)}, "disagrees by nan; choose by a"),
    ],
)
def test_an_episode_that_cannot_be_judged_is_an_error(episode, changes, message):
    judge = Disagreement(latents=LATENTS, ensemble=Rising())
    with pytest.raises(ValueError, match=message):
        judge(replace(episode(3), **changes))


def test_an_ensemble_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="no episode has an action"):
        LATENTS.transitions([])

"""Short walks of a disc in two rooms."""

import numpy as np

from worldmodel_train.data.trajectories.episode import Episode
from worldmodel_train.envs.disc_rooms import Layout, draw, draw_free, move


def walk(seed, size=32):
    """Five even actions from anywhere, and the pictures between them."""
    rng = np.random.default_rng(seed)
    states, actions = [draw_free(rng, Layout(), 1)[0]], rng.uniform(-1, 1, (5, 2))
    for action in actions:
        states.append(move(states[-1], action, Layout()))
    pictures = draw(np.stack(states), Layout(), size)
    return Episode(observations=pictures, actions=actions.astype(np.float32))

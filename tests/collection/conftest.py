import numpy as np
import pytest

from worldmodel_train.data.trajectories.episode import Episode


@pytest.fixture
def episode():
    def make(length, number=0):
        """Observations that say which episode and when."""
        times = np.arange(length + 1, dtype=np.float32)
        return Episode(
            observations=np.stack([np.full_like(times, number), times], axis=1),
            actions=times[:-1, None],
            rewards=times[:-1],
            ends=np.arange(length) == length - 1,
        )

    return make

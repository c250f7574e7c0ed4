"""A predictor of which all is known, and films for it."""

import numpy as np
import pytest
import torch
from torch import nn

from worldmodel_train.probes.states import KnownState
from worldmodel_train.types import TokenGrid

FILMS, EDITED, WIDTH, PLACES = 400, 20, 16, 4
STATE = 0  # the channel that holds it


class Persists(nn.Module):
    """A channel is a number of the picture, one of them the state; all of it stays as it is."""

    def token_grid(self, clips):
        return TokenGrid(clips.shape[1], 2, 2)

    def encode(self, clips):
        channels = clips.flatten(2)[..., :WIDTH].float() / 255 - 0.5
        return channels.repeat_interleave(PLACES, dim=1)

    def encode_context(self, group):
        (masks,) = group.masks
        return [self.encode(group.clips)[:, : masks.context_index.shape[1]]]

    def predict_from(self, contexts, group):
        (context,) = contexts
        ahead = group.masks[0].target_index.shape[2]
        return [context.mean(dim=1)[:, None, None].expand(-1, 1, ahead, -1)]

    def predict(self, group):
        raise AssertionError("targets are not asked for")


@pytest.fixture(scope="session")
def clips():
    generator = torch.Generator().manual_seed(0)
    films = torch.randint(0, 256, (FILMS, 1, 4, 4, 3), dtype=torch.uint8, generator=generator)
    return films.expand(-1, 4, -1, -1, -1).contiguous()


@pytest.fixture(scope="session")
def states(clips):
    shown = clips.flatten(2)[..., STATE].numpy() / 255 - 0.5
    unrelated = np.random.default_rng(1).normal(size=shown.shape)
    return (
        KnownState(name="shown", kind="value", values=shown),
        KnownState(name="high", kind="event", values=shown > 0),
        KnownState(name="unrelated", kind="value", values=unrelated),
        KnownState(name="never", kind="event", values=np.zeros(shown.shape, dtype=bool)),
    )

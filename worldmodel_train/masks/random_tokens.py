"""MAE's and VideoMAE's masks: most tokens, or most places, hidden at random.

He et al. 2021 (arXiv 2111.06377), Tong et al. 2022 (arXiv 2203.12602).
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool
from pydantic import Field

from worldmodel_train.config import StrictConfig
from worldmodel_train.masks.counter_random import stream, uniforms
from worldmodel_train.types import Masks, TokenGrid


class RandomTokens(StrictConfig):
    """Sampler of hidden tokens that lie anywhere."""

    name: Literal["random_tokens"] = "random_tokens"
    hidden: float = Field(default=0.75, gt=0, lt=1)
    """Share of the tokens that is hidden; the number is rounded down (in MAE's code, up)."""

    def sample(self, grid: TokenGrid, *, seed: int, step: int, samples: Sequence[int]) -> Masks:
        """Masks for `samples`, each drawn from (seed, sample)."""
        del step
        hidden = _lowest(self.name, grid.num_tokens, self.hidden, seed, samples)
        return _masks(hidden)


class RandomTubes(StrictConfig):
    """Sampler of hidden places: what is hidden is hidden all the time."""

    name: Literal["random_tubes"] = "random_tubes"
    hidden: float = Field(default=0.9, gt=0, lt=1)
    """Share of the places that is hidden; the number is rounded down, as in VideoMAE's code."""

    def sample(self, grid: TokenGrid, *, seed: int, step: int, samples: Sequence[int]) -> Masks:
        """Masks for `samples`, each drawn from (seed, sample)."""
        del step
        places = _lowest(self.name, grid.height * grid.width, self.hidden, seed, samples)
        return _masks(np.tile(places, (1, grid.frames)))


def _lowest(
    name: str, places: int, share: float, seed: int, samples: Sequence[int]
) -> Bool[np.ndarray, "b n"]:
    """The share of places with the lowest of the numbers that are drawn for them."""
    count = int(share * places)
    if count in (0, places):
        raise ValueError(
            f"{name}: hidden={share:g} of {places} leaves {count} to predict and "
            f"{places - count} to see; use another share, or larger clips"
        )
    ids = np.asarray(samples, dtype=np.int64)[:, None]
    drawn = uniforms(stream("place", name, seed), ids, np.arange(places))
    return drawn.argsort(axis=1).argsort(axis=1) < count


def _masks(hidden: Bool[np.ndarray, "b n"]) -> Masks:
    """As many are hidden in every row."""
    order = torch.from_numpy(np.argsort(hidden, axis=1, kind="stable"))
    seen = int((~hidden[0]).sum())
    return Masks(
        context_index=order[:, :seen].contiguous(),
        target_index=order[:, None, seen:].contiguous(),
    )

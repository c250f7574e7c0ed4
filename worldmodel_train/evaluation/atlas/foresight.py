"""What a predictor makes of the first half of films, and of that half changed."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from einops import einsum, rearrange
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from worldmodel_train.cartography.interventions import random_directions, unit
from worldmodel_train.evaluation.frozen import frozen
from worldmodel_train.masks.past_and_future import past_and_future
from worldmodel_train.protocols import OpenPredictor
from worldmodel_train.types import ClipGroup, TokenGrid

_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Quarters:
    """Which quarter of a frame each of its tokens lies in; `q` are fewer where the grid is."""

    of_token: Float[Tensor, "p q"]
    """1 where it is so."""

    @classmethod
    def of(cls, grid: TokenGrid) -> "Quarters":
        """Those of each frame of a grid."""
        rows, columns = (min(2, side) * torch.arange(side) // side for side in grid[1:])
        number = (rows[:, None] * min(2, grid.width) + columns).flatten()
        return cls(of_token=torch.nn.functional.one_hot(number).float())

    def mean(self, tokens: Float[Tensor, "v n d"]) -> Float[Tensor, "v t e"]:
        """Of each tubelet the mean latents of its quarters, one after another."""
        frames = rearrange(tokens, "v (t p) d -> v t p d", p=len(self.of_token))
        share = self.of_token / self.of_token.sum(dim=0)
        return einsum(frames, share, "v t p d, p q -> v t q d").flatten(2)

    def to_tokens(self, moments: Float[Tensor, "v t e"]) -> Float[Tensor, "v n d"]:
        """For each token what its quarter has."""
        quarters = moments.unflatten(2, (self.of_token.shape[1], -1))
        return einsum(quarters, self.of_token, "v t q d, p q -> v t p d").flatten(1, 2)


@dataclass(frozen=True, kw_only=True)
class Foresight:
    """Films seen to their middle, and predicted from there.

    A moment is a tubelet: the mean latents of its quarters, so that places show. Edits are of
    moments; each token of a quarter is moved as its mean.
    """

    model: OpenPredictor
    quarters: Quarters
    past: Float[Tensor, "v t e"]
    """What the predictor is given, of all films."""
    future: Float[Tensor, "v s e"]
    """What it predicts from that."""
    edited_clips: UInt8[Tensor, "r f h w c"]
    """The last of the films, which can be edited; nothing else is fitted on them."""
    contexts: Float[Tensor, "r k d"]
    """All tokens of theirs that the predictor is given."""

    @property
    def fitted(self) -> int:
        """Films that are not edited."""
        return len(self.past) - len(self.contexts)

    @property
    def moments(self) -> Float[Tensor, "r t e"]:
        """The past of the films that can be edited."""
        return self.past[self.fitted :]

    @property
    def spread(self) -> float:
        """How far a moment is from the mean of all, root mean square."""
        past = self.past[: self.fitted].flatten(0, 1)
        return float((past - past.mean(dim=0)).square().sum(dim=1).mean().sqrt())

    def mixtures(self, count: int, *, seed: int) -> Float[Tensor, "count e"]:
        """Directions of length 1 in which films differ: sums of them, weighted at random.

        The mean shift of a state that has nothing to do with films is one of these.
        """
        films = self.past[: self.fitted].mean(dim=1)
        weights = random_directions(count, len(films), seed=seed)
        return unit(weights @ (films - films.mean(dim=0)))

    def after(self, edited: Float[Tensor, "r t e"]) -> Float[ndarray, "r s e"]:
        """What is predicted from the films when their moments are these."""
        contexts = self.contexts + self.quarters.to_tokens(edited - self.moments)
        parts = []
        with frozen(self.model) as device:
            for clips, part in zip(
                self.edited_clips.split(_BATCH), contexts.split(_BATCH), strict=True
            ):
                group = _group(self.model, clips, edited.shape[1]).map(lambda t: t.to(device))
                parts.append(_predicted(self.model, part.to(device), group))
        return np.asarray(self.quarters.mean(torch.cat(parts)))


def look_ahead(
    model: OpenPredictor, clips: UInt8[Tensor, "v f h w c"], *, edited: int
) -> Foresight:
    """What `model` predicts of the second half of `clips`, of which the last are to be edited."""
    grid = model.token_grid(clips[:1])
    quarters = Quarters.of(grid)
    past, future, contexts = [], [], []
    for context, predicted in _halves(model, clips, grid.frames // 2):
        past.append(quarters.mean(context))
        future.append(quarters.mean(predicted))
        contexts = [torch.cat([*contexts, context])[-edited:]]  # no more are kept
    return Foresight(
        model=model,
        quarters=quarters,
        past=torch.cat(past),
        future=torch.cat(future),
        edited_clips=clips[-edited:],
        contexts=contexts[0],
    )


def _halves(
    model: OpenPredictor, clips: UInt8[Tensor, "v f h w c"], seen: int
) -> Iterator[tuple[Float[Tensor, "b k d"], Float[Tensor, "b m d"]]]:
    """Context and prediction, batch by batch, on the CPU."""
    with frozen(model) as device:
        for batch in clips.split(_BATCH):
            group = _group(model, batch, seen).map(lambda t: t.to(device))
            (context,) = model.encode_context(group)
            yield context.float().cpu(), _predicted(model, context, group)


def _group(model: OpenPredictor, clips: UInt8[Tensor, "v f h w c"], seen: int) -> ClipGroup:
    masks = past_and_future(model.token_grid(clips), seen, len(clips))
    return ClipGroup(clips=clips, masks=(masks,))


def _predicted(
    model: OpenPredictor, context: Float[Tensor, "b k d"], group: ClipGroup
) -> Float[Tensor, "b m d"]:
    (predicted,) = model.predict_from([context], group)
    return predicted[:, 0].float().cpu()

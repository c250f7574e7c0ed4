"""From sets of tokens to index tensors, when a batch holds sets of different size."""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldmodel_train.types import TokenGrid

Truncate = Literal["late", "random", "none"]

Selected = tuple[Int[Tensor, "b _k"], Bool[Tensor, "b _k"] | None]
"""Token ids of each set, and which of them count (None: all)."""


def check_multiple(sampler: str, multiple: int, grid: TokenGrid) -> None:
    """Refuses a multiple that no set of tokens of this grid can reach.

    Raises:
        ValueError: The grid has fewer tokens.
    """
    if multiple > grid.num_tokens:
        raise ValueError(
            f"{sampler}: multiple={multiple} is more than the {grid.num_tokens} tokens of a clip "
            f"({grid.frames}x{grid.height}x{grid.width}); use a smaller one, or 1 for none"
        )


def select(
    members: Bool[np.ndarray, "b n"],
    truncate: Truncate,
    priority: Float[np.ndarray, "b n"],
    multiple: int = 1,
    most: int | None = None,
) -> Selected:
    """Token ids of each set in ascending order, and which of them count (None: all).

    `late` cuts every set to the smallest of the batch and loses the highest ids, which are the
    latest frames; `random` keeps as many, those with the lowest `priority`; `none` keeps all ids
    and pads. What is cut is cut to a multiple of `multiple`, if it has as many, and what is padded
    is padded to one. No set keeps more than `most`; `none` drops those above it as `random` does.
    """
    counts = members.sum(axis=1)
    fewest = int(counts.min() if most is None else min(counts.min(), most))
    fewest = fewest - fewest % multiple or fewest
    match truncate:
        case "late":
            return _ascending(members, fewest), None
        case "random":
            return _ascending(_lowest(members, priority, fewest), fewest), None
        case "none" if most is not None and counts.max() > most:
            kept = _lowest(members, priority, most)
            return _padded(kept, kept.sum(axis=1), multiple)
        case "none":
            return _padded(members, counts, multiple)


def _ascending(members: Bool[np.ndarray, "b n"], keep: int) -> Int[Tensor, "b k"]:
    order = np.argsort(~members, axis=1, kind="stable")
    return torch.from_numpy(order[:, :keep].copy())


def _lowest(
    members: Bool[np.ndarray, "b n"], priority: Float[np.ndarray, "b n"], keep: int
) -> Bool[np.ndarray, "b n"]:
    """The `keep` members of each set that have the lowest priority, or all if it has fewer."""
    outsiders_last = np.where(members, priority, np.inf)
    chosen = np.argsort(outsiders_last, axis=1)[:, :keep]
    kept = np.zeros_like(members)
    np.put_along_axis(kept, chosen, values=True, axis=1)
    return kept & members


def _padded(
    members: Bool[np.ndarray, "b n"], counts: Int[np.ndarray, "b"], multiple: int
) -> Selected:
    longest = min(-(-int(counts.max()) // multiple) * multiple, members.shape[1])
    index = _ascending(members, longest)
    valid = torch.from_numpy(np.arange(longest) < counts[:, None])
    if valid.all():
        return index, None
    # padding repeats a member, so that code which forgets `valid` still sees no token of others
    return torch.where(valid, index, index[:, :1]), valid

"""Edits of latents along a direction: add to it, take it out, or swap it between clips."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def steered(
    latents: Float[Tensor, "*b d"],
    direction: Float[Tensor, " d"],
    length: float,
    chosen: Bool[Tensor, "*b"] | None = None,
) -> Float[Tensor, "*b d"]:
    """Latents moved by `length` along `direction`, those that are `chosen` or all."""
    moved = length * unit(direction)
    return latents + (moved if chosen is None else chosen[..., None] * moved)


def ablated(
    latents: Float[Tensor, "*b d"], direction: Float[Tensor, " d"], mean: Float[Tensor, " d"]
) -> Float[Tensor, "*b d"]:
    """Latents whose component along `direction` is that of `mean`."""
    along = unit(direction)
    return latents - ((latents - mean) @ along)[..., None] * along


def swapped(
    latents: Float[Tensor, "b *n d"], direction: Float[Tensor, " d"], donors: Int[Tensor, " b"]
) -> Float[Tensor, "b *n d"]:
    """Latents with the component along `direction` of the clips named by `donors`, and no more."""
    along = unit(direction)
    return latents + ((latents[donors] - latents) @ along)[..., None] * along


def unit(direction: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
    """The direction with length 1.

    Raises:
        ValueError: It has no length, or is not finite.
    """
    length = direction.norm(dim=-1, keepdim=True)
    if not (length.isfinite() & (length > 0)).all():
        raise ValueError(f"a direction of length {length.min()} points nowhere; leave it out")
    return direction / length


def random_directions(count: int, width: int, *, seed: int) -> Float[Tensor, "count d"]:
    """Directions of length 1 of which none is likelier than another, the same for a seed."""
    generator = torch.Generator().manual_seed(seed)
    return unit(torch.randn(count, width, generator=generator))

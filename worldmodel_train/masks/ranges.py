"""Ranges that block sizes are drawn from."""

from typing import Annotated

from pydantic import AfterValidator


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = bounds
    if not 0 < low <= high:
        raise ValueError(f"[{low:g}, {high:g}] is not a range; write [low, high], 0 < low <= high")
    return bounds


def _share(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[1] > 1:
        raise ValueError(f"[{bounds[0]:g}, {bounds[1]:g}] is a share of the grid; stay below 1")
    return bounds


PositiveRange = Annotated[tuple[float, float], AfterValidator(_ordered)]
ShareRange = Annotated[tuple[float, float], AfterValidator(_ordered), AfterValidator(_share)]


def within(bounds: tuple[float, float], uniform: float) -> float:
    """The number that lies `uniform` of the way from the low bound to the high one."""
    low, high = bounds
    return low + uniform * (high - low)

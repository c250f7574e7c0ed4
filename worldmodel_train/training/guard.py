"""Stops a run that is broken: a loss that is not finite, or latents that have collapsed."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from worldmodel_train.config import StrictConfig

Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class GuardConfig(StrictConfig):
    """When a run counts as broken, and what happens then.

    A JEPA loss that rises after an early fall is normal and is not watched.
    """

    non_finite: Literal["stop", "warn"] = "stop"
    """A loss that is NaN or infinite."""
    collapse: Literal["stop", "warn", "ignore"] = "stop"
    """Target latents that have lost their rank or their spread."""
    min_rank_share: Share = 0.1
    """Collapsed: RankMe of the targets below this share of its first reading."""
    min_std_share: Share = 0.1
    """Collapsed: per-dimension std of the targets below this share of its first reading."""
    patience: PositiveInt = 3
    """Readings in a row that must be below before the run counts as collapsed."""
    sudden_drop: Share = 0.5
    """Collapsed at once: loss *and* RankMe below this share of their recent medians."""

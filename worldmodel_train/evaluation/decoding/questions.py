"""What a predictor is asked for: the future of a clip, or what masks hide of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from worldmodel_train.masks.draw import draw_masks
from worldmodel_train.masks.past_and_future import past_and_future
from worldmodel_train.protocols import MaskSampler
from worldmodel_train.types import Masks, TokenGrid


@dataclass(frozen=True, kw_only=True)
class Future:
    """All tubelets after the first `num_seen`, given these."""

    num_seen: int
    name: str = "the future"
    group: int = 0
    """Whose masks are asked for, of all that are given."""

    def masks(self, grid: TokenGrid, samples: Sequence[int]) -> tuple[Masks, ...]:
        """The one mask group, for which a predictor takes the mask token of its first."""
        return (past_and_future(grid, self.num_seen, len(samples)),)


@dataclass(frozen=True, kw_only=True)
class Hidden:
    """What one of several mask samplers hides; of several target sets the first."""

    samplers: tuple[MaskSampler, ...]
    group: int
    seed: int

    @property
    def name(self) -> str:
        """As the report calls it."""
        return f"mask group {self.group + 1}"

    def masks(self, grid: TokenGrid, samples: Sequence[int]) -> tuple[Masks, ...]:
        """All groups, since a predictor tells their mask tokens apart by their order."""
        return draw_masks(
            self.samplers, grid, seed=self.seed, step=samples[0], samples=list(samples)
        )


Question = Future | Hidden


def questions(
    grid: TokenGrid, *, visible: float, samplers: tuple[MaskSampler, ...], seed: int
) -> Iterator[Question]:
    """The future, where clips have one, and what each sampler hides.

    Raises:
        ValueError: `visible` leaves nothing to see or nothing to predict.
    """
    if grid.frames > 1:
        num_seen = round(visible * grid.frames)
        if not 0 < num_seen < grid.frames:
            raise ValueError(
                f"decoded_prediction.visible={visible:g} leaves {num_seen} of the {grid.frames} "
                "tubelets of a held-out clip to see; use 0.5"
            )
        yield Future(num_seen=num_seen)
    for group in range(len(samplers)):
        yield Hidden(samplers=samplers, group=group, seed=seed)

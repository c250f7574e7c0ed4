"""Explained variance of what each level of a hierarchy predicts, by how far ahead it lies."""

from dataclasses import dataclass

from jaxtyping import Float, UInt8
from torch import Tensor

from worldmodel_train.cartography.explained_variance import VarianceSums
from worldmodel_train.evaluation.frozen import frozen
from worldmodel_train.protocols import LevelPredictor
from worldmodel_train.types import LevelAhead


@dataclass(frozen=True, kw_only=True)
class LevelScores:
    """Explained variance by either answer, one value for each step after the last seen one."""

    frames: int
    """Pictures of a step."""
    predictor: tuple[float, ...]
    copy_last: tuple[float, ...]
    """The latent of the last seen step at the same place."""

    @property
    def frames_ahead(self) -> tuple[int, ...]:
        """How far ahead each step ends, from the last picture that was seen."""
        return tuple(self.frames * step for step in range(1, len(self.predictor) + 1))


def measure_levels(
    model: LevelPredictor, clips: UInt8[Tensor, "b t h w c"], batch_size: int
) -> list[LevelScores]:
    """What each level of `model` explains of each step that it predicts, the lowest level first."""
    with frozen(model) as device:
        batches = [model.predict_levels(some.to(device)) for some in clips.split(batch_size)]
    return [_scores(level) for level in zip(*batches, strict=True)]


def _scores(batches: tuple[LevelAhead, ...]) -> LevelScores:
    steps = range(batches[0].target.shape[1])
    return LevelScores(
        frames=batches[0].frames,
        predictor=tuple(
            _explained([(one.predicted[:, step], one.target[:, step]) for one in batches])
            for step in steps
        ),
        copy_last=tuple(
            _explained([(one.last, one.target[:, step]) for one in batches]) for step in steps
        ),
    )


def _explained(pairs: list[tuple[Float[Tensor, "_ p d"], Float[Tensor, "_ p d"]]]) -> float:
    first, *rest = [
        VarianceSums.between(answer[:, None], target[:, None]) for answer, target in pairs
    ]
    return sum(rest, start=first).explained_variance

"""Videos that follow each other with clips of one length: how many, and what that asks for."""

from collections.abc import Sequence
from dataclasses import dataclass

from worldmodel_train.data.source_config import SourceConfig

_BLOCK = 1000  # micro-batches over which the shares of lengths are exact


@dataclass(frozen=True)
class OneLength:
    """What `data.of_one_length` says of these sources."""

    given: int | tuple[int, ...]
    sources: Sequence[SourceConfig]

    def require_a_number_each(self) -> None:
        """Raises ValueError where numbers are given, but not one for each clip length."""
        lengths = self._lengths()
        if not isinstance(self.given, int) and len(self.given) != len(lengths):
            raise ValueError(
                f"of_one_length={list(self.given)} is for {len(self.given)} clip lengths, and "
                f"sources have {len(lengths)}, {lengths} frames; give one number each, or one for "
                "all"
            )

    def by_length(self) -> dict[int, int]:
        """So many videos that follow each other have clips of this many frames."""
        if isinstance(self.given, int):
            return dict.fromkeys(self._lengths(), self.given)
        return dict(zip(self._lengths(), self.given, strict=True))

    def clips(self, each: int) -> dict[int, int]:
        """Clips of a micro-batch by their frames, where these are of different numbers.

        Of each video there are so many.
        """
        if isinstance(self.given, int):
            return {}
        return {frames: count * each for frames, count in self.by_length().items()}

    def problem(self, micro_batch: int, each: int) -> str:
        """Why these do not fill micro-batches of so many clips; empty where they do."""
        videos = micro_batch // each
        if not isinstance(self.given, int):
            return self._problem_of_the_mean(micro_batch, each)
        if videos % self.given:
            return (
                f"{self.given} videos of one length do not fill a micro-batch of {videos}; use "
                f"{videos} or a divisor of it"
            )
        return ""

    def _problem_of_the_mean(self, micro_batch: int, each: int) -> str:
        """Weights are shares of videos, not of micro-batches, which are of different sizes."""
        weights = {
            frames: sum(one.weight for one in self.sources if one.clip.frames == frames)
            for frames in self._lengths()
        }
        batches = [weights[frames] / count for frames, count in self.by_length().items()]
        if min(batches) < sum(batches) / _BLOCK:
            return f"one of these lengths would have less than 1 of {_BLOCK} micro-batches"
        mean = round(each * sum(weights.values()) / sum(batches))
        if mean == micro_batch:
            return ""
        return (
            f"micro-batches of these and of the sources' weights have {mean} clips in the mean, "
            f"and train.micro_batch={micro_batch}; use "
            + (f"train.micro_batch={mean}, " if mean % each == 0 else "")
            + "numbers in proportion to it, or 1"
        )

    def _lengths(self) -> list[int]:
        return sorted({source.clip.frames for source in self.sources})

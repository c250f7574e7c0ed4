"""Films shown forward and backward, in and out of order, and faster: what only time tells apart."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from worldmodel_train.data.fixed import Views
from worldmodel_train.evaluation.frozen import Contestants, in_batches
from worldmodel_train.evaluation.probing.probe_features import probe_features
from worldmodel_train.evaluation.probing.probe_suite import LabelledFeatures
from worldmodel_train.protocols import Encoder

FORWARD, REVERSED = "forward", "reversed"
IN_ORDER, SWAPPED = "in order", "swapped"


@dataclass(frozen=True, kw_only=True)
class TimeVersions:
    """The ways in which a window of film is shown, as clips of `frames` frames each."""

    frames: int
    speeds: tuple[int, ...]
    """Times as fast as the run's clips, the run's own speed first."""

    @property
    def window(self) -> int:
        """Frames that the fastest clip passes over."""
        return self._passed(self.speeds[-1])

    @property
    def questions(self) -> Mapping[str, tuple[str, ...]]:
        """The versions that each question tells apart, by the question's name."""
        return {
            "arrow of time": (FORWARD, REVERSED),
            "temporal order": (IN_ORDER, SWAPPED),
            "playback speed": (FORWARD, *(f"{speed}x" for speed in self.speeds[1:])),
        }

    def shown(
        self, windows: UInt8[Tensor, "b window h w c"]
    ) -> Iterator[tuple[str, UInt8[Tensor, "b t h w c"]]]:
        """Each version of the windows in turn.

        The two parts put in order or swapped are the window's ends, so that both ways show one
        cut and the cut tells nothing.
        """
        forward = windows[:, self._places(1)]
        yield FORWARD, forward
        yield REVERSED, forward.flip(1)
        first = windows[:, : self.frames // 2]
        last = windows[:, windows.shape[1] - (self.frames - self.frames // 2) :]
        yield IN_ORDER, torch.cat([first, last], dim=1)
        yield SWAPPED, torch.cat([last, first], dim=1)
        for speed in self.speeds[1:]:
            yield f"{speed}x", windows[:, self._places(speed)]

    def runs_on(self, times: Float[Tensor, "b window"]) -> Bool[Tensor, "b"]:
        """True where a video lasts through its window; past its end the last frame would stay."""
        steps = times[:, :: self.speeds[-1]].diff(dim=1)
        return steps.amin(dim=1) > 0.5 * steps.amax(dim=1)

    def _passed(self, speed: int) -> int:
        return (self.frames - 1) * speed + 1

    def _places(self, speed: int) -> slice:
        """The frames of a clip at that speed, in the window's middle."""
        start = (self.window - self._passed(speed)) // 2
        return slice(start, start + self._passed(speed), speed)


@dataclass(frozen=True, kw_only=True)
class VersionFeatures:
    """Features of every version of the same windows, and the video of each window."""

    features: Mapping[str, Mapping[str, Float[Tensor, "b _"]]]
    """By version, then by whose they are."""
    videos: Int[Tensor, "b"]
    num_short: int
    """Videos that were left out, for they end before any of their windows does."""

    def labelled(self, question: str, versions: Sequence[str]) -> LabelledFeatures:
        """Every version of all windows, labelled by the version."""
        kinds = self.features[versions[0]]
        return LabelledFeatures(
            features={
                kind: torch.cat([self.features[version][kind] for version in versions])
                for kind in kinds
            },
            labels={question: torch.arange(len(versions)).repeat_interleave(len(self.videos))},
            groups=self.videos.repeat(len(versions)),
        )


def version_features(
    models: Contestants[Encoder],
    videos: Iterable[Views],
    versions: TimeVersions,
    *,
    batch_size: int,
) -> VersionFeatures:
    """The features of all versions; `batch_size` videos' windows are in memory at a time.

    Raises:
        ValueError: No video lasts through a window.
    """
    found: dict[str, dict[str, list[Tensor]]] = {}
    owners: list[int] = []
    num_videos = num_short = 0
    for batch in in_batches(videos, batch_size):
        kept: list[Tensor] = []
        for video in batch:
            whole = video.clips[versions.runs_on(video.times)]
            owners += [num_videos] * len(whole)
            num_videos += 1
            num_short += not len(whole)
            kept.append(whole)
        for version, clips in versions.shown(torch.cat(kept)) if any(map(len, kept)) else ():
            for kind, features in probe_features(models, clips, batch_size).items():
                found.setdefault(version, {}).setdefault(kind, []).append(features)
    if not owners:
        raise ValueError(
            f"time_sense: none of {num_videos} videos of data.held_out lasts for the "
            f"{versions.window} frames that clips at {versions.speeds[-1]} times the speed pass "
            "over; give lower speeds, or longer videos"
        )
    return VersionFeatures(
        features={
            version: {kind: torch.cat(parts) for kind, parts in kinds.items()}
            for version, kinds in found.items()
        },
        videos=torch.tensor(owners),
        num_short=num_short,
    )

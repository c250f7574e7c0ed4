"""What a task is, what a recipe offers to it, and what it measures."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol, runtime_checkable

from torch import nn

from worldmodel_train.evaluation.ranks import ALONE, Ranks
from worldmodel_train.evaluation.showing import Showing, shown_to_nobody
from worldmodel_train.evaluation.task_result import TaskResult
from worldmodel_train.facts import DataFacts
from worldmodel_train.protocols import Objective, Preparation

if TYPE_CHECKING:
    from worldmodel_train.data.fixed import FixedClips


@runtime_checkable
class AnyData(Protocol):
    """What tasks need of any kind of data."""

    def facts(self) -> DataFacts:
        """What is known before anything is read."""
        ...

    def held_out_content(self, limit: int) -> Any:  # noqa: ANN401 - clips, windows of episodes ...
        """Up to `limit` held-out samples, the same on every call."""
        ...


@runtime_checkable
class HoldsOutClips(Protocol):
    """Data whose held-out samples are clips, of whatever origin."""

    @property
    def held_out_fps(self) -> float:
        """Pictures a second."""
        ...

    def held_out_clips(self, *, limit: int, clips_per_video: int) -> "FixedClips":
        """Up to `limit` clips, the same on every call."""
        ...


def opens_no_runs(run: Path, key: str) -> NoReturn:
    """Raises ValueError: for who measures without a run directory."""
    raise ValueError(f"{key}={run}: runs are opened by `wmt eval` and `wmt plan`; use one of these")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model as training left it and as it was before, and what else its recipe has."""

    method: str
    trained: Objective[Any]
    untrained: Objective[Any]
    preparation: Preparation[Any, Any] | None
    """What the method does to what is read; None for nothing."""
    data: AnyData
    run_dir: Path
    """Where pictures go, below a folder of the task's name."""
    ranks: Ranks = ALONE
    """Who measures with it; only for tasks that are `shared`."""
    beside: Mapping[str, object] = field(default_factory=dict)
    """Trained models of other runs, by name, for a task that sets them beside its own."""
    other_run: Callable[[Path, str], nn.Module] = opens_no_runs
    """Another run's trained model, where this one is; `key` of the task's settings names it."""
    showing: Showing = shown_to_nobody
    """Shows how far a task is that takes long."""

    @property
    def clip_data(self) -> HoldsOutClips:
        """The data, for a task that asks for clips."""
        assert isinstance(self.data, HoldsOutClips), "such a task refuses data that are not clips"
        return self.data

    def held_out_clips(self, *, limit: int, clips_per_video: int) -> "FixedClips":
        """Clips of `data.held_out`, always the same."""
        return self.clip_data.held_out_clips(limit=limit, clips_per_video=clips_per_video)


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What is known of the subject when the recipe is read, before anything is built."""

    objective: type
    preparation: Preparation[Any, Any] | None
    data: AnyData


@runtime_checkable
class Task(Protocol):
    """A named measurement: the `Config` of a file of `tasks/`, of whose name `name` is made.

    Of a run on several ranks the first one measures. A task that shares its work among all of them,
    who find the same, says `shared: ClassVar = True`.
    """

    needs: ClassVar[type]
    """The protocol that the method's objective must satisfy."""
    needs_held_out: ClassVar[bool]
    """Whether it reads `data.held_out`."""

    @property
    def name(self) -> str:
        """The file's name."""
        ...

    def misfits(self, offer: Offer) -> Iterator[str]:
        """What else of the recipe does not suit it."""
        ...

    def run(self, subject: Subject) -> TaskResult:
        """What it found; pictures are written below the subject's run directory."""
        ...


def is_shared(task: Task) -> bool:
    """Whether all ranks run it; those that say nothing of it are the first rank's alone."""
    return getattr(task, "shared", False)


def not_square(offer: Offer) -> Iterator[str]:
    """Clips that are not square, where films are drawn in their size."""
    clip = offer.data.facts().measured_clip
    if clip.height != clip.width:
        size = f"{clip.height}x{clip.width}"
        yield f"films are square, and the clips of the recipe are {size}; leave it out"

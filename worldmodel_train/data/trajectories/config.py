"""What a recipe says about data in which something acts."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, FiniteFloat, model_validator

from worldmodel_train.config import StrictConfig
from worldmodel_train.data.config import DecoderConfig, LoaderConfig
from worldmodel_train.data.picture_size import PictureSize, frame_size
from worldmodel_train.data.source_config import ShardsConfig, require_names_differ
from worldmodel_train.facts import DataFacts, FrameSize, Misfit

if TYPE_CHECKING:
    # torch, which is not needed to read a recipe; whole names can be looked up where they are used
    import worldmodel_train.batch
    import worldmodel_train.data.loader_position
    import worldmodel_train.protocols
    import worldmodel_train.types


EPISODE_MB = 1024
"""MiB that the arrays of an episode may take, by default."""


class ActionScale(StrictConfig):
    """What actions are scaled by, each number of an action by its own.

    Part of the recipe, so that a run and whoever acts by its model scale alike wherever the
    episodes have gone; `wmt data check` prints it for a folder of episodes.
    """

    mean: tuple[FiniteFloat, ...] = Field(min_length=1)
    """Of each number of one action, whatever the frameskip."""
    std: tuple[Annotated[FiniteFloat, Field(gt=0)], ...] = Field(min_length=1)
    """The standard deviation of each; 1 for one that never changes."""
    low: tuple[FiniteFloat, ...] | None = None
    """The 1st percentile of each."""
    high: tuple[FiniteFloat, ...] | None = None
    """The 99th percentile of each."""
    by: Literal["spread", "percentiles"] = "spread"
    """Less `mean`, over `std`; or so that `low` is -1 and `high` is 1, what is rare beyond."""

    @property
    def centre(self) -> tuple[float, ...]:
        """What becomes 0."""
        return self.mean if self.by == "spread" else tuple((a + b) / 2 for a, b in self._ends())

    @property
    def unit(self) -> tuple[float, ...]:
        """How far from it 1 is; 1 for what nearly never changes."""
        return (
            self.std if self.by == "spread" else tuple((b - a) / 2 or 1.0 for a, b in self._ends())
        )

    def _ends(self) -> list[tuple[float, float]]:
        assert self.low is not None, "checked"
        assert self.high is not None, "checked"
        return list(zip(self.low, self.high, strict=True))

    @model_validator(mode="after")
    def _one_of_each(self) -> "ActionScale":
        given = {"mean": self.mean, "std": self.std, "low": self.low, "high": self.high}
        lengths = {name: len(numbers) for name, numbers in given.items() if numbers is not None}
        if len(set(lengths.values())) > 1:
            each = " and ".join(f"{length} of {name}" for name, length in lengths.items())
            raise ValueError(f"{each}; give as many")
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high belong together; give both or neither")
        if self.by == "percentiles" and self.low is None:
            raise ValueError("by: percentiles needs low and high; use what `wmt data check` prints")
        if any(low > high for low, high in zip(self.low or (), self.high or (), strict=True)):
            raise ValueError(f"low={self.low} is above high={self.high} somewhere; exchange them")
        return self


CameraName = Annotated[str, Field(pattern=r"^[\w-]+$")]


class TrajectoriesConfig(StrictConfig):
    """Windows of episodes: what was observed, and what was done in between."""

    gives: ClassVar[Literal["trajectories"]] = "trajectories"

    name: Literal["data/trajectories"]
    """The kind of data."""
    sources: tuple[ShardsConfig, ...] = Field(min_length=1)
    """Sources, mixed by weight."""
    held_out: ShardsConfig | None = None
    """Episodes never trained on."""
    steps: int = Field(ge=1)
    """Observations of a window; between them lie `steps` - 1 actions."""
    frameskip: int = Field(ge=1, default=1)
    """Every so many-th observation is kept. The actions between two that are kept lie behind each
    other in one, their rewards are added."""
    actions: ActionScale | None = None
    """How actions are scaled; null takes them as they are. What a planner finds for a model is
    scaled back with `data.trajectories.scaling.real`."""
    size: PictureSize | None = None
    """Height and width to which the frames of `<key>.mp4` are cut, one number for both or `[height,
    width]`; null where frames lie in the `<key>.npz`, which are taken as they are."""
    camera: CameraName | Annotated[tuple[CameraName, ...], Field(min_length=1)] | None = None
    """Whose video is looked at, of episodes with several: `left` for `<key>.left.mp4`. Of `[left,
    right]` each window is of one, drawn for its sample, all equally often. An episode without it,
    or without all of them, is skipped as `missing_camera`; null takes the first video."""
    episode_mb: int = Field(ge=1, le=1 << 20, default=EPISODE_MB)
    """MiB that the arrays of one episode may take; a larger one is skipped as `too_large`."""
    kept_mb: int = Field(ge=0, le=1 << 20, default=256)
    """MiB that each of `loader.workers` may keep of episodes, so as to read them but once: whole
    ones, then where the pictures of others lie in their shards. 0 keeps nothing; of streams and of
    episodes with a video nothing is kept."""
    decoder: DecoderConfig = DecoderConfig()
    """Decoding of `<key>.mp4`."""
    loader: LoaderConfig = LoaderConfig()
    """Loading."""

    @property
    def classes(self) -> None:
        """Episodes have no labels."""

    @property
    def cameras(self) -> tuple[str, ...]:
        """Those that are looked at, by name; empty where the first video is."""
        if self.camera is None:
            return ()
        return (self.camera,) if isinstance(self.camera, str) else self.camera

    @property
    def frame_size(self) -> FrameSize | None:
        """Height and width of frames from videos, however they are spelled."""
        return None if self.size is None else frame_size(self.size)

    @property
    def span(self) -> int:
        """Observations from a window's first to its last, those passed over included."""
        return (self.steps - 1) * self.frameskip + 1

    def facts(self) -> DataFacts:
        """What a method may know before an episode is opened."""
        return DataFacts(sources=(), kind=self.gives)

    def open_facts(self) -> DataFacts:
        """The same with the shapes of the first good episode; raises ValueError without any."""
        from worldmodel_train.data.trajectories.facts import first_shapes

        return replace(self.facts(), episodes=first_shapes(self).facts(self))

    def misfits(self, micro_batch: int) -> Iterator[Misfit]:
        """Any number of windows goes."""
        del micro_batch
        yield from ()

    def check(self) -> None:
        """Raises ValueError where shards are missing; opens none."""
        from worldmodel_train.data.shards.resolve import resolve_shards

        for source in (*self.sources, *([self.held_out] if self.held_out else [])):
            resolve_shards(source)

    def build_loader(
        self,
        preparation: "worldmodel_train.protocols.Preparation[Any, Any] | None",
        position: "worldmodel_train.data.loader_position.LoaderPosition",
        opened: DataFacts | None = None,
    ) -> "Iterable[worldmodel_train.batch.Batch[Any]]":
        """This rank's micro-batches, forever; raises what `loader.build_loader` raises.

        With what `open_facts` gave, no episode is opened for that again.
        """
        from worldmodel_train.data.loader import build_loader
        from worldmodel_train.data.preparation import as_read
        from worldmodel_train.data.trajectories.facts import EpisodeShapes
        from worldmodel_train.data.trajectories.windows import window_feed

        episodes = (opened or self.open_facts()).episodes
        assert episodes is not None, "they have been opened"
        feed = window_feed(self, EpisodeShapes.known(episodes, self))
        return build_loader(feed, preparation or as_read, position=position)

    def held_out_content(self, limit: int) -> "worldmodel_train.types.Trajectories":
        """A window of each of up to `limit` held-out episodes, the same on every call."""
        from worldmodel_train.data.trajectories.windows import fixed_windows

        assert self.held_out is not None, "the recipe was checked for them"
        return fixed_windows(self, self.held_out, limit=limit)

    @model_validator(mode="after")
    def _one_window_of_an_episode(self) -> "TrajectoriesConfig":
        require_names_differ(self.sources)
        if self.camera is not None and self.size is None:
            raise ValueError(
                f"camera={','.join(self.cameras)} has its frames in videos; give `size`, to which "
                "they are cut"
            )
        if len({name.lower() for name in self.cameras}) < len(self.cameras):
            raise ValueError(f"camera={','.join(self.cameras)}: name each once")
        if self.loader.clips_per_video != 1:
            raise ValueError(
                f"loader.clips_per_video={self.loader.clips_per_video} is for videos; leave it out"
            )
        return self

"""What a recipe says about clips that are rendered while it trains, and needs no file for."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from worldmodel_train.config import StrictConfig
from worldmodel_train.data.source_config import ClipConfig
from worldmodel_train.envs.ball_pictures import SHAPES
from worldmodel_train.envs.balls import Scene
from worldmodel_train.facts import ClipShape, DataFacts, Misfit, SourceFacts

if TYPE_CHECKING:
    # torch, which is not needed to read a recipe; whole names can be looked up where they are used
    import worldmodel_train.batch
    import worldmodel_train.data.fixed
    import worldmodel_train.data.loader_position
    import worldmodel_train.protocols
    import worldmodel_train.types


class FilmLoaderConfig(StrictConfig):
    """How films reach the training loop."""

    max_bad_share: ClassVar[float] = 0.0
    """What is rendered has nothing to skip."""

    workers: int = Field(ge=0, default=2)
    """Processes per rank that render."""
    prefetch: int = Field(ge=1, default=4)
    """Micro-batches each of them prepares ahead."""


class HeldOutFilmsConfig(StrictConfig):
    """Films never trained on: their scenes are drawn from seeds of their own."""

    streams: ClassVar[bool] = False
    """Any of them can be rendered at any time."""

    scene: Scene | None = None
    """What happens in them; null for what happens in those trained on."""


class FilmsConfig(StrictConfig):
    """Clips of a world of our own, rendered as they are asked for, without end.

    Clip n of a run is a function of its seed and n alone.
    """

    gives: ClassVar[Literal["clips"]] = "clips"
    """What a batch holds."""

    name: Literal["data/films"]
    """The kind of data."""
    world: Literal["envs/balls"] = "envs/balls"
    """The world that is filmed."""
    scene: Scene = Scene()
    """What happens in a film."""
    held_out: HeldOutFilmsConfig = HeldOutFilmsConfig()
    """Films never trained on, for pictures and evaluation."""
    clip: ClipConfig
    """Length and rate of a film."""
    size: int = Field(ge=8)
    """Height and width of a film in pixels."""
    label: Literal["shape", "collision", "speed"] | None = None
    """What each clip's class is: the shape of its only thing, whether things run against each
    other, or whether they begin faster than usual in such a scene. Null: clips have no class."""
    loader: FilmLoaderConfig = FilmLoaderConfig()
    """Loading."""

    @property
    def sources(self) -> tuple[()]:
        """None: nothing is read."""
        return ()

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes, in the order of their numbers."""
        if self.label is None:
            return None
        if self.label == "shape":
            return SHAPES[: self.scene.shapes]
        return ("apart", "collision") if self.label == "collision" else ("slow", "fast")

    @property
    def held_out_scene(self) -> Scene:
        """What happens in the held-out films."""
        return self.held_out.scene or self.scene

    @property
    def held_out_fps(self) -> float:
        """Pictures a second of the held-out films."""
        return self.clip.fps

    def facts(self) -> DataFacts:
        """What a method may know of the data."""
        shape = ClipShape(self.clip.frames, self.size, self.size)
        # one clip configuration for all of them: misfits of both are its
        return DataFacts(
            sources=(SourceFacts(key=("data",), clip=shape, share=1.0),),
            held_out=SourceFacts(key=("data",), clip=shape, share=0.0),
            size_key=("data", "size"),
            classes=self.classes,
        )

    def open_facts(self) -> DataFacts:
        """The same: nothing has to be opened."""
        return self.facts()

    def misfits(self, micro_batch: int) -> Iterator[Misfit]:
        """Any number of films goes."""
        del micro_batch
        yield from ()

    def check(self) -> None:
        """Nothing can be missing."""

    def build_loader(
        self,
        preparation: "worldmodel_train.protocols.Preparation[Any] | None",
        position: "worldmodel_train.data.loader_position.LoaderPosition",
        opened: DataFacts | None = None,
    ) -> "Iterable[worldmodel_train.batch.Batch[Any]]":
        """This rank's micro-batches, forever."""
        from worldmodel_train.collection.film_batches import FilmBatches
        from worldmodel_train.data.batch_memory import Parcel
        from worldmodel_train.data.preparation import as_read
        from worldmodel_train.data.rank_batches import in_workers

        del opened  # the same as before
        batches = FilmBatches(self, preparation or as_read, position)
        loader = self.loader
        return in_workers(batches, workers=loader.workers, prefetch=loader.prefetch, pack=Parcel)

    def held_out_clips(
        self, *, limit: int, clips_per_video: int
    ) -> "worldmodel_train.data.fixed.FixedClips":
        """The first `limit` held-out films; each clip is one of its own, and so is its video."""
        from worldmodel_train.collection.film_batches import held_out_films

        del clips_per_video
        return held_out_films(self, limit)

    def held_out_content(self, limit: int) -> "worldmodel_train.types.Clips":
        """The same as a loader would give them."""
        return self.held_out_clips(limit=limit, clips_per_video=1).as_read()

    @model_validator(mode="after")
    def _label_is_of_the_scenes(self) -> "FilmsConfig":
        for scene in (self.scene, self.held_out_scene):
            if self.label == "shape" and scene.things != 1:
                raise ValueError(
                    f"label=shape is of one thing, and a scene has things={scene.things}; use "
                    "things: 1, or label: null"
                )
            if self.label == "collision" and scene.things == 1:
                raise ValueError("label=collision needs two things or more; use scene.things=2")
        if self.held_out_scene.shapes > self.scene.shapes and self.label == "shape":
            raise ValueError(
                f"held_out.scene.shapes={self.held_out_scene.shapes} has classes that are not "
                f"trained on; use {self.scene.shapes} or fewer"
            )
        return self

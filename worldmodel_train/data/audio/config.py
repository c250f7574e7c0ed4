"""What a recipe says about recordings of sound."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from worldmodel_train.config import StrictConfig
from worldmodel_train.data.class_list import ClassNames, require_distinct
from worldmodel_train.data.config import DecoderConfig, LoaderConfig
from worldmodel_train.data.source_config import ShardsConfig, require_names_differ
from worldmodel_train.facts import AudioFacts, DataFacts, Misfit

if TYPE_CHECKING:
    # torch, which is not needed to read a recipe; whole names can be looked up where they are used
    import worldmodel_train.batch
    import worldmodel_train.data.loader_position
    import worldmodel_train.protocols
    import worldmodel_train.types


class AudioConfig(StrictConfig):
    """Stretches of recordings: the training mixture, those held out, and how both are read."""

    gives: ClassVar[Literal["audio"]] = "audio"

    name: Literal["data/audio"]
    """The kind of data."""
    sources: tuple[ShardsConfig, ...] = Field(min_length=1)
    """Sources, mixed by weight."""
    held_out: ShardsConfig | None = None
    """Recordings never trained on."""
    rate: int = Field(ge=1000, le=192_000, default=16_000)
    """Samples a second; recordings of another rate are resampled."""
    seconds: float = Field(gt=0, le=600)
    """Length of a stretch. It begins anywhere that leaves room for it; a recording that is shorter
    is heard from its beginning, and zeros behind it."""
    max_seconds: float = Field(gt=0, le=36_000, default=600.0)
    """Longest recording that is decoded, which is done as a whole; a longer one is skipped as
    `too_long`: cut it before it is packed."""
    classes: ClassNames = None
    """Names of all classes, or a text file with one a line: then each stretch has the number of the
    `label` in its sample's json, and samples without one of these are skipped. Null reads none."""
    labels: Literal["one", "many"] = "one"
    """`many` reads the list `labels` of the json instead: each stretch has a row that is true at
    all of its classes."""
    decoder: DecoderConfig = DecoderConfig()
    """Decoding, which is PyAV's."""
    loader: LoaderConfig = LoaderConfig()
    """Loading."""

    @property
    def samples(self) -> int:
        """Samples of a stretch."""
        return max(1, round(self.rate * self.seconds))

    def facts(self) -> DataFacts:
        """What a method may know of the data."""
        return DataFacts(
            sources=(),
            kind=self.gives,
            audio=AudioFacts(rate=self.rate, samples=self.samples),
            classes=self.classes,
            labels=self.labels,
        )

    def open_facts(self) -> DataFacts:
        """What a method may know once the data is opened: no more than before."""
        return self.facts()

    def misfits(self, micro_batch: int) -> Iterator[Misfit]:
        """Any number of stretches goes."""
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
        """This rank's micro-batches, forever; raises what `loader.build_loader` raises."""
        from worldmodel_train.data.audio.stretches import stretch_feed
        from worldmodel_train.data.loader import build_loader
        from worldmodel_train.data.preparation import as_read

        del opened  # the same as before
        return build_loader(stretch_feed(self), preparation or as_read, position=position)

    def held_out_content(self, limit: int) -> "worldmodel_train.types.Audio":
        """The middle of each of up to `limit` held-out recordings, the same on every call."""
        assert self.held_out is not None, "the recipe was checked for them"
        return self.middles_of(self.held_out, limit)

    def middles_of(self, source: ShardsConfig, limit: int) -> "worldmodel_train.types.Audio":
        """The middle of each of up to `limit` recordings of a source, spread over its shards."""
        from worldmodel_train.data.audio.middles import middles

        return middles(self, source, limit=limit)

    @field_validator("classes")
    @classmethod
    def _classes_differ(cls, classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        require_distinct(classes)
        return classes

    @model_validator(mode="after")
    def _fits_together(self) -> "AudioConfig":
        require_names_differ(self.sources)
        if self.labels == "many" and self.classes is None:
            raise ValueError("labels=many needs classes; name them, or a file with one a line")
        if self.decoder.name == "decord":
            raise ValueError("decoder.name=decord reads videos alone; use auto or pyav")
        if self.loader.clips_per_video != 1:
            raise ValueError(
                f"loader.clips_per_video={self.loader.clips_per_video} is for videos; leave it out"
            )
        if self.seconds > self.max_seconds:
            raise ValueError(
                f"seconds={self.seconds:g} is more than max_seconds={self.max_seconds:g}; raise the"
                " latter"
            )
        return self

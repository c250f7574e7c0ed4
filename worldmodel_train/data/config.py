"""What a recipe says about data: augmentation, decoding, loading, and sources of clips."""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from worldmodel_train.config import StrictConfig
from worldmodel_train.config.origins import KeyPath
from worldmodel_train.data.augment_config import AugmentConfig
from worldmodel_train.data.class_list import ClassNames, require_distinct
from worldmodel_train.data.one_length import OneLength
from worldmodel_train.data.source_config import SourceConfig, require_names_differ
from worldmodel_train.facts import ClipShape, DataFacts, Misfit, SourceFacts

if TYPE_CHECKING:
    # torch, which is not needed to read a recipe; whole names can be looked up where they are used
    import worldmodel_train.batch
    import worldmodel_train.data.fixed
    import worldmodel_train.data.labels
    import worldmodel_train.data.loader_position
    import worldmodel_train.protocols
    import worldmodel_train.types

_DAY = 86_400.0  # seconds; clocks of the system take no number at will


class DecoderConfig(StrictConfig):
    """Which library decodes, and what it may cost."""

    name: Literal["auto", "decord", "pyav"] = "auto"
    """`auto` is PyAV; decord is slower, and refuses what it would get wrong."""
    timeout_s: float = Field(gt=0, le=_DAY, default=20.0)
    """Seconds a clip may take before its decoder is killed; after two kills it is skipped."""
    memory_mb: int = Field(ge=64, le=1 << 30, default=4096)
    """MiB that a decoder may take beyond what it takes idle, on Linux; each of `loader.workers` has
    one. A video that needs more is skipped as `out_of_memory`."""
    max_pixels: int = Field(ge=1, default=8192 * 8192)
    """Largest width x height that is decoded; larger pictures are skipped unread."""


class LoaderConfig(StrictConfig):
    """How clips reach the training loop."""

    workers: int = Field(ge=0, default=8)
    """Loading processes per rank; each has a decoding process of its own."""
    clips_per_video: int = Field(ge=1, default=1)
    """Clips cut from each video that is opened, which share what is decoded; they follow each other
    in a micro-batch, of which this must be a divisor. A source is then drawn video by video."""
    prefetch: int = Field(ge=1, default=4)
    """Micro-batches each worker prepares ahead."""
    shuffle_buffer: int = Field(ge=1, default=1000)
    """Samples held to shuffle a stream, 4 GiB of them at most; sources that can seek are shuffled
    fully without it."""
    stream_timeout_s: float = Field(gt=0, le=_DAY, default=60.0)
    """Seconds a stream may send nothing, or less than 1 KiB each, before the rest of its shard is
    skipped; also where ten times as long brings no sample."""
    stream_retry_s: float = Field(ge=0, default=300.0)
    """Seconds to try again, with growing pauses, where a web server is away or busy (no connection,
    429, 5xx), before its shards are skipped. Failing `pipe:` commands are spaced out likewise."""
    max_attempts: int = Field(ge=1, default=16)
    """Samples tried in the place of a bad one before the run stops; of a stream, whose bad samples
    lie side by side, more as long as `max_bad_share` holds, unless none could be reached."""
    max_bad_share: float = Field(ge=0, le=1, default=0.05)
    """Share of bad samples past which the run stops."""


class DataConfig(StrictConfig):
    """Clips of videos: the training mixture, the held-out clips, and how both are read."""

    gives: ClassVar[Literal["clips"]] = "clips"

    name: Literal["data/videos"] = "data/videos"
    """The kind of data."""
    sources: tuple[SourceConfig, ...] = Field(min_length=1)
    """Sources, mixed by weight."""
    of_one_length: PositiveInt | tuple[PositiveInt, ...] = 1
    """So many videos that follow each other have clips of one length, from any source of that
    length. As many as a micro-batch takes: then each GPU has images alone, or clips of one length
    alone, at a time, by turns, so that of two halves each is always on the same GPUs where these
    are even (of streams lengths are drawn instead). Several numbers are for each length, the
    shortest first, as many videos as a micro-batch of it takes: `[72, 48]` of images and clips;
    `train.micro_batch` is then the mean by the sources' weights, in clips. 1 mixes all in every
    micro-batch."""
    held_out: SourceConfig | None = None
    """Clips never trained on, for pictures and evaluation."""
    augment: AugmentConfig
    """Crop, flip and further changes of training clips."""
    classes: ClassNames = None
    """Names of all classes, or a text file with one a line: then each clip has the number of the
    `label` in its sample's json, and samples without one of these are skipped. Null reads none."""
    labels: Literal["one", "many"] = "one"
    """`many` reads the list `labels` of the json instead: each clip has a row that is true at all
    of its classes."""
    decoder: DecoderConfig = DecoderConfig()
    """Decoding."""
    loader: LoaderConfig = LoaderConfig()
    """Loading."""

    def facts(self) -> DataFacts:
        """What a method may know of the data."""
        total = sum(source.weight for source in self.sources)
        held_out = self.held_out
        return DataFacts(
            sources=tuple(
                self._facts(source, ("data", "sources", index), source.weight / total)
                for index, source in enumerate(self.sources)
            ),
            held_out=held_out and self._facts(held_out, ("data", "held_out"), 0.0),
            classes=self.classes,
            clips_per_video=self.loader.clips_per_video,
            together=self.lengths.clips(self.loader.clips_per_video),
            labels=self.labels,
        )

    def _facts(self, source: SourceConfig, key: KeyPath, share: float) -> SourceFacts:
        clip = ClipShape(source.clip.frames, *self.augment.frame_size)
        fps = source.clip.fps if source.protocol == "ours" else None
        return SourceFacts(key=key, clip=clip, share=share, fps=fps)

    def length_index(self, frames: int) -> int:
        """Which of the sources' clip lengths is `frames`, or is nearest to it."""
        lengths = list(dict.fromkeys(source.clip.frames for source in self.sources))
        return min(range(len(lengths)), key=lambda i: abs(lengths[i] - frames))

    @field_validator("classes")
    @classmethod
    def _classes_differ(cls, classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        require_distinct(classes)
        return classes

    @model_validator(mode="after")
    def _every_length_has_its_videos(self) -> "DataConfig":
        self.lengths.require_a_number_each()
        return self

    def open_facts(self) -> DataFacts:
        """What a method may know once the data is opened: of videos no more than before."""
        return self.facts()

    def misfits(self, micro_batch: int) -> Iterator[Misfit]:
        """What of the data does not go with that many samples at a time."""
        clips = self.loader.clips_per_video
        if micro_batch % clips:
            fewer = max(n for n in range(1, clips) if micro_batch % n == 0)
            message = (
                f"{clips} clips of each video do not fill train.micro_batch={micro_batch}; "
                f"use {fewer}, or train.micro_batch={-(-micro_batch // clips) * clips}"
            )
            yield ("data", "loader", "clips_per_video"), message
        elif problem := self.lengths.problem(micro_batch, clips):
            yield ("data", "of_one_length"), problem

    @property
    def lengths(self) -> OneLength:
        """How videos follow each other by the length of their clips."""
        return OneLength(self.of_one_length, self.sources)

    def check(self) -> None:
        """Raises ValueError where shards are missing; opens none."""
        from worldmodel_train.data.shards.resolve import resolve_shards

        for source in (*self.sources, *([self.held_out] if self.held_out else [])):
            resolve_shards(source)

    def build_loader(
        self,
        preparation: "worldmodel_train.protocols.Preparation[Any] | None",
        position: "worldmodel_train.data.loader_position.LoaderPosition",
        opened: DataFacts | None = None,
    ) -> "Iterable[worldmodel_train.batch.Batch[Any]]":
        """This rank's micro-batches, forever; raises what `loader.build_loader` raises."""
        from worldmodel_train.data.clip_batches import clip_feed
        from worldmodel_train.data.loader import build_loader
        from worldmodel_train.data.preparation import as_read

        del opened  # the same as before
        assert position.micro_batch % self.loader.clips_per_video == 0
        return build_loader(clip_feed(self), preparation or as_read, position=position)

    @property
    def held_out_fps(self) -> float:
        """Pictures a second of the held-out clips."""
        assert self.held_out is not None, "the recipe was checked for them"
        return self.held_out.clip.fps

    def held_out_clips(
        self, *, limit: int, clips_per_video: int
    ) -> "worldmodel_train.data.fixed.FixedClips":
        """Up to `limit` of the held-out clips, the same on every call."""
        assert self.held_out is not None, "the recipe was checked for them"
        return self.clips_of(self.held_out, limit=limit, clips_per_video=clips_per_video)

    def clips_of(
        self, source: SourceConfig, *, limit: int, clips_per_video: int
    ) -> "worldmodel_train.data.fixed.FixedClips":
        """Centre-cropped clips of a source, in the order of its shards."""
        from worldmodel_train.data.fixed import load_clips

        loaded = load_clips(
            source,
            size=self.augment.frame_size,
            limit=limit,
            decoder=self.decoder,
            clips_per_video=clips_per_video,
            labels=self._label_reader(),
        )
        return replace(loaded, length_index=self.length_index(source.clip.frames))

    def each_video(
        self,
        source: SourceConfig,
        *,
        segments: int = 1,
        crops: int = 1,
        first: int = 0,
        every: int = 1,
    ) -> "Generator[worldmodel_train.data.fixed.Views | worldmodel_train.batch.Skip, None, None]":
        """Segments x crops views of each video of a source, or of every `every`-th from `first` on.

        `loader.workers` more are decoded while one is looked at; of a bad one comes what is wrong
        with it.
        """
        from worldmodel_train.data.fixed import Share, each_video
        from worldmodel_train.data.views import ViewGrid

        return each_video(
            source,
            size=self.augment.frame_size,
            decoder=self.decoder,
            views=ViewGrid(segments=segments, crops=crops),
            labels=self._label_reader(),
            share=Share(first=first, every=every, processes=self.loader.workers),
        )

    def _label_reader(self) -> "worldmodel_train.data.labels.LabelReader | None":
        from worldmodel_train.data.labels import label_reader

        return None if self.classes is None else label_reader(self.classes, self.labels)

    def held_out_content(self, limit: int) -> "worldmodel_train.types.Clips":
        """Up to `limit` of the held-out clips, one of each video."""
        return self.held_out_clips(limit=limit, clips_per_video=1).as_read()

    @model_validator(mode="after")
    def _published_clips_are_square(self) -> "DataConfig":
        sources = (*self.sources, *([self.held_out] if self.held_out else []))
        size = self.augment.frame_size
        if size.height != size.width and any(s.protocol == "vjepa2" for s in sources):
            raise ValueError(
                f"augment.size={list(size)} with protocol=vjepa2, whose clips are square; "
                f"use augment.size={min(size)}, or protocol=ours"
            )
        return self

    @model_validator(mode="after")
    def _labels_have_classes(self) -> "DataConfig":
        if self.labels == "many" and self.classes is None:
            raise ValueError("labels=many needs classes; name them, or a file with one a line")
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> "DataConfig":
        require_names_differ(self.sources)
        return self

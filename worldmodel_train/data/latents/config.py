"""What a recipe says about latents that a frozen encoder has left on disk."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from worldmodel_train.config import StrictConfig
from worldmodel_train.data.config import LoaderConfig
from worldmodel_train.facts import DataFacts, Misfit

if TYPE_CHECKING:
    # torch, which is not needed to read a recipe; whole names can be looked up where they are used
    import worldmodel_train.batch
    import worldmodel_train.data.loader_position
    import worldmodel_train.protocols
    import worldmodel_train.types


class HeldOutLatents(StrictConfig):
    """Latents never trained on."""

    folder: str = Field(min_length=1)
    """What `wmt data latents` wrote."""

    @property
    def streams(self) -> bool:
        """False: they are files."""
        return False


class LatentsConfig(StrictConfig):
    """Latents of clips, drawn clip by clip: epoch after epoch, each in an order of its own."""

    gives: ClassVar[Literal["latents"]] = "latents"

    name: Literal["data/latents"]
    """The kind of data."""
    folder: str = Field(min_length=1)
    """What `wmt data latents` wrote."""
    held_out: HeldOutLatents | None = None
    """Latents never trained on."""
    tokens: int | None = Field(ge=1, default=None)
    """Tokens of each clip, drawn anew each time, so that a batch has many clips in it; null takes
    all, in their order."""
    loader: LoaderConfig = LoaderConfig()
    """Loading."""

    @property
    def classes(self) -> None:
        """They are the folder's."""

    def facts(self) -> DataFacts:
        """What a method may know before the folder is opened."""
        return DataFacts(sources=(), kind=self.gives)

    def open_facts(self) -> DataFacts:
        """The same with the width of the latents; raises ValueError where there are none."""
        from worldmodel_train.data.latents.folder import LatentsFolder

        made_of = LatentsFolder(Path(self.folder)).made_of
        return replace(self.facts(), latent_width=made_of.width)

    def misfits(self, micro_batch: int) -> Iterator[Misfit]:
        """Any number of clips goes."""
        del micro_batch
        yield from ()

    def check(self) -> None:
        """Raises ValueError where a folder holds no latents, or is not finished."""
        from worldmodel_train.data.latents.folder import LatentsFolder

        for folder in (self.folder, *([self.held_out.folder] if self.held_out else [])):
            LatentsFolder(Path(folder))

    def build_loader(
        self,
        preparation: "worldmodel_train.protocols.Preparation[Any, Any] | None",
        position: "worldmodel_train.data.loader_position.LoaderPosition",
        opened: DataFacts | None = None,
    ) -> "Iterable[worldmodel_train.batch.Batch[Any]]":
        """This rank's micro-batches, forever; raises ValueError where the folder has none."""
        from worldmodel_train.data.latents.batches import LatentBatches
        from worldmodel_train.data.latents.folder import LatentsFolder
        from worldmodel_train.data.preparation import as_read
        from worldmodel_train.data.rank_batches import in_workers

        del opened  # the width is the folder's
        folder = LatentsFolder(Path(self.folder))
        batches = LatentBatches(folder, preparation or as_read, position, self.tokens)
        loader = self.loader
        return in_workers(batches, workers=loader.workers, prefetch=loader.prefetch)

    def held_out_content(self, limit: int) -> "worldmodel_train.types.Latents":
        """The latents of the first `limit` held-out clips, all tokens of each."""
        from worldmodel_train.data.latents.folder import LatentsFolder

        assert self.held_out is not None, "the recipe was checked for them"
        folder = LatentsFolder(Path(self.held_out.folder))
        return folder.read(range(min(limit, len(folder))))

    @model_validator(mode="after")
    def _one_row_of_a_clip(self) -> "LatentsConfig":
        if self.loader.clips_per_video != 1:
            raise ValueError(
                f"loader.clips_per_video={self.loader.clips_per_video} is for videos; leave it out"
            )
        return self

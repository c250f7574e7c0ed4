"""What the loader needs to know of a kind of data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

from torch import Tensor

from worldmodel_train.batch import Skip
from worldmodel_train.data.config import DecoderConfig, LoaderConfig
from worldmodel_train.data.decoding.decode import Decoder
from worldmodel_train.data.shards.source import Source
from worldmodel_train.data.shards.wanted_files import WantedFiles
from worldmodel_train.data.source_config import ShardsConfig

EmptyTensors = Callable[[Sequence[tuple[int, ...]]], list[Tensor]]
"""uint8 tensors of these shapes that hold anything; asked for once in a micro-batch."""

ReadT = TypeVar("ReadT")
ReadT_co = TypeVar("ReadT_co", covariant=True)


@runtime_checkable
class MicroBatchReader(Protocol[ReadT_co]):
    """Reads micro-batches in a loading process."""

    def read(
        self, samples: range, empty: EmptyTensors
    ) -> tuple[Sequence[ReadT_co], tuple[Skip, ...]]:
        """What these samples hold, in as many parts as have a shape, and what was left out.

        Many bytes belong into memory from `empty`: there they reach the training process uncopied.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Feed(Generic[ReadT]):
    """A kind of data, as the loader needs it."""

    sources: Sequence[ShardsConfig]
    loader: LoaderConfig
    decoder: DecoderConfig
    wanted: WantedFiles
    """What is read of each sample."""
    open_reader: Callable[[Sequence[Source], Decoder, int], MicroBatchReader[ReadT]]
    """Called in each loading process with its sources, its decoder and the run's seed."""

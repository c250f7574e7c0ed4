"""Batches of latents: which clips and tokens, as a function of the seed and the step."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import Int64

from worldmodel_train.batch import Origin
from worldmodel_train.data.latents.folder import LatentsFolder
from worldmodel_train.data.loader_position import LoaderPosition
from worldmodel_train.data.random_streams import Stream, generator
from worldmodel_train.data.rank_batches import RankBatches, ReadSamples
from worldmodel_train.data.source_order import SourceOrder
from worldmodel_train.protocols import Preparation
from worldmodel_train.types import Latents


class LatentBatches(RankBatches[Latents, Any]):
    """Micro-batches of clips' latents."""

    def __init__(
        self,
        folder: LatentsFolder,
        prepare: Preparation[Any, Latents],
        position: LoaderPosition,
        num_tokens: int | None,
    ) -> None:
        """With `num_tokens`, so many of each clip; raises ValueError where a clip has fewer."""
        has = folder.made_of.num_tokens
        if num_tokens is not None and num_tokens > has:
            raise ValueError(f"data.tokens={num_tokens}, but a clip has {has}; use at most {has}")
        super().__init__(prepare, position)
        self._folder = folder
        self._num_tokens = num_tokens
        self._order = SourceOrder(len(folder), seed=position.seed, number=0)

    @contextmanager
    def opened(self, worker: int, workers: int) -> Iterator[ReadSamples[Latents]]:
        """Reads from the folder."""
        del worker, workers  # the folder is open in every process
        yield lambda samples: ([self._latents(samples)], Origin(first_sample=samples.start))

    def _latents(self, samples: range) -> Latents:
        rows = [self._order.number_at(sample, attempt=0) for sample in samples]
        drawn = None if self._num_tokens is None else [*map(self._tokens, samples)]
        return self._folder.read(rows, tokens=drawn, samples=samples)

    def _tokens(self, sample: int) -> Int64[np.ndarray, "n"]:
        """Which tokens of its clip a sample of the run has, no token twice."""
        rng = generator(Stream.TOKENS, self._position.seed, sample)
        has = self._folder.made_of.num_tokens
        return rng.choice(has, self._num_tokens, replace=False, shuffle=False)

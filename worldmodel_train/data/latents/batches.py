"""Batches of latents: which clips and tokens, as a function of the seed and the step."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Int64
from torch.utils.data import IterableDataset, get_worker_info

from worldmodel_train.data.latents.folder import LatentsFolder
from worldmodel_train.data.loader import LoaderPosition
from worldmodel_train.data.random_streams import Stream, generator
from worldmodel_train.data.source_order import SourceOrder
from worldmodel_train.protocols import Preparation
from worldmodel_train.types import Batch, Latents, Origin


class LatentBatches(IterableDataset[Batch[Any]]):
    """Endless micro-batches of one rank; worker w of W makes every W-th of them."""

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
        self._folder = folder
        self._prepare = prepare
        self._position = position
        self._num_tokens = num_tokens
        self._order = SourceOrder(len(folder), seed=position.seed, number=0)

    def __iter__(self) -> Iterator[Batch[Any]]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        for number in self._position.micro_batches(worker, workers):
            first = self._position.first_sample(number)
            samples = range(first, first + self._position.micro_batch)
            rows = [self._order.number_at(sample, attempt=0) for sample in samples]
            drawn = None if self._num_tokens is None else [*map(self._tokens, samples)]
            read = self._folder.read(rows, tokens=drawn, samples=samples)
            step = first // self._position.global_batch
            content = self._prepare([read], seed=self._position.seed, step=step)
            yield Batch(content=content, origin=Origin(first_sample=first))

    def _tokens(self, sample: int) -> Int64[np.ndarray, "n"]:
        """Which tokens of its clip a sample of the run has, no token twice."""
        rng = generator(Stream.TOKENS, self._position.seed, sample)
        has = self._folder.made_of.num_tokens
        return rng.choice(has, self._num_tokens, replace=False, shuffle=False)

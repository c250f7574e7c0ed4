"""Reads rows of a folder of latents, at random."""

import json
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from safetensors import SafetensorError, safe_open
from torch import Tensor

from worldmodel_train.data.latents.index import MadeOf, Precision, read_index, shard_path
from worldmodel_train.types import Latents

TYPES: dict[Precision, torch.dtype] = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp32": torch.float32,
}


class LatentsFolder:
    """A finished folder; its shards are mapped when a row of them is first read."""

    def __init__(self, folder: Path) -> None:
        """Raises ValueError where the folder holds no latents, or not yet all."""
        self.folder = folder
        index = read_index(folder)
        self.made_of: MadeOf = index.made_of
        if index.shards is None:
            raise ValueError(
                f"{folder} is not finished; repeat the `wmt data latents` that made it"
            )
        self._clips = index.shards
        self._firsts = [0, *accumulate(index.shards)]
        self._mapped: dict[int, tuple[Tensor, Tensor | None]] = {}

    def __len__(self) -> int:
        return self._firsts[-1]

    def read(
        self,
        rows: Sequence[int],
        *,
        tokens: Sequence[Int64[np.ndarray, "n"]] | None = None,
        samples: Sequence[int] | None = None,
    ) -> Latents:
        """The latents of these clips, of each all tokens or those named.

        Raises:
            ValueError: A shard is missing or damaged.
        """
        found = [self._row(row) for row in rows]
        picked = (
            [row for row, _ in found]
            if tokens is None
            else [row[torch.from_numpy(one)] for (row, _), one in zip(found, tokens, strict=True)]
        )
        labels = [label for _, label in found if label is not None]
        return Latents(
            tokens=torch.stack(picked),
            labels=torch.stack(labels) if labels else None,
            samples=tuple(rows if samples is None else samples),
        )

    def keys(self) -> list[str]:
        """The key of each clip's video."""
        keys: list[str] = []
        for number in range(len(self._clips)):
            with safe_open(shard_path(self.folder, number), framework="pt") as file:
                keys += json.loads(file.metadata()["keys"])
        return keys

    def __getstate__(self) -> dict[str, object]:
        """Without the maps, which each process makes for itself."""
        return {**self.__dict__, "_mapped": {}}

    def _row(self, row: int) -> tuple[Tensor, Tensor | None]:
        """A clip's tokens and label."""
        number = int(np.searchsorted(self._firsts, row, side="right")) - 1
        if number not in self._mapped:
            self._mapped[number] = self._map(number)
        tokens, labels = self._mapped[number]
        place = row - self._firsts[number]
        return tokens[place], None if labels is None else labels[place]

    def _map(self, number: int) -> tuple[Tensor, Tensor | None]:
        """A shard's tensors, of which nothing is read yet."""
        path, made_of = shard_path(self.folder, number), self.made_of
        try:
            with safe_open(path, framework="pt") as file:
                tokens = file.get_tensor("tokens")
                labels = None if made_of.classes is None else file.get_tensor("labels")
        except (FileNotFoundError, SafetensorError) as error:
            raise ValueError(f"{path}: {error}; write the folder anew") from error
        expected = (self._clips[number], made_of.num_tokens, made_of.width)
        if tokens.shape != expected or tokens.dtype != TYPES[made_of.precision]:
            raise ValueError(
                f"{path} holds {tokens.dtype} of shape {tuple(tokens.shape)}, not "
                f"{made_of.precision} of {expected}; write the folder anew"
            )
        return tokens, labels

"""Labels of samples, and their numbers in a recipe's list of classes."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from worldmodel_train.batch import Skip
from worldmodel_train.config.json_text import JsonError, parse_object
from worldmodel_train.data.shards.source import EncodedSample, SampleError

ONLY_MANY, ONLY_ONE = "only_several_labels", "only_one_label"

Label: TypeAlias = int | Bool[np.ndarray, "classes"]
"""The number of a class, or which of all classes are true."""


@runtime_checkable
class LabelReader(Protocol):
    """Finds what a sample is among the classes of a recipe."""

    def label(self, sample: EncodedSample) -> Label:
        """What the sample's json says; raises SampleError where it says none of the classes."""
        ...


def label_reader(classes: Sequence[str], labels: Literal["one", "many"]) -> LabelReader:
    """What reads one label of each sample, or all of them."""
    return OneLabel(classes) if labels == "one" else ManyLabels(classes)


def label_text(sample: EncodedSample) -> str | None:
    """The label that the sample's json names, or all, if any; raises SampleError without JSON."""
    described = _description(sample)
    label, several = described.get("label"), described.get("labels")
    if label is None and isinstance(several, list):
        return ", ".join(map(str, several)) or None
    return None if label is None else str(label)


def stack_labels(labels: Sequence[Label]) -> Int64[Tensor, "b"] | Bool[Tensor, "b classes"]:
    """The labels of a batch: numbers of classes, or rows that are true at several."""
    return torch.from_numpy(np.stack([np.asarray(label) for label in labels]))


class OneLabel:
    """Reads the `label` of a sample, as the place of its class in the list."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._numbers = {name: number for number, name in enumerate(classes)}

    def label(self, sample: EncodedSample) -> int:
        """The number of the sample's class; raises SampleError where it has none of them."""
        described = _description(sample)
        name = described.get("label")
        if name is None and "labels" in described:
            raise SampleError(Skip(ONLY_MANY, sample.shard, sample.key))
        number = self._numbers.get("" if name is None else str(name))
        if number is None:
            raise SampleError(Skip("bad_label", sample.shard, sample.key))
        return number


class ManyLabels:
    """Reads the `labels` of a sample, a list, as which of all classes are true."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._numbers = {name: number for number, name in enumerate(classes)}

    def label(self, sample: EncodedSample) -> Bool[np.ndarray, "classes"]:
        """True at the sample's classes; raises SampleError where one of them is not in the list."""
        described = _description(sample)
        names = described.get("labels")
        if names is None and described.get("label") is not None:
            raise SampleError(Skip(ONLY_ONE, sample.shard, sample.key))
        true = np.zeros(len(self._numbers), dtype=bool)
        # anything but a list of names is no class either
        for name in names if isinstance(names, list) else [None]:
            number = self._numbers.get(name) if isinstance(name, str) else None
            if number is None:
                raise SampleError(Skip("bad_label", sample.shard, sample.key))
            true[number] = True
        return true


def _description(sample: EncodedSample) -> dict[str, Any]:
    try:
        return parse_object(sample.files["json"], sample.key)
    except JsonError as error:
        raise SampleError(Skip("bad_json", sample.shard, sample.key)) from error

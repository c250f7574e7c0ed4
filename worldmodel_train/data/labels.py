"""Labels of samples, and their numbers in a recipe's list of classes."""

from collections.abc import Sequence

from worldmodel_train.config.json_text import JsonError, parse_object
from worldmodel_train.data.shards.source import EncodedSample, SampleError
from worldmodel_train.types import Skip


def label_of(sample: EncodedSample) -> str | None:
    """The label that the sample's json names, if any; raises SampleError where it is no JSON."""
    try:
        label = parse_object(sample.files["json"], sample.key).get("label")
    except JsonError as error:
        raise SampleError(Skip("bad_json", sample.shard, sample.key)) from error
    return None if label is None else str(label)


class ClassNumbers:
    """The place of each class in the list."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._numbers = {name: number for number, name in enumerate(classes)}

    def number_of(self, sample: EncodedSample) -> int:
        """The number of the sample's class; raises SampleError where it has none of them."""
        number = self._numbers.get(label_of(sample) or "")
        if number is None:
            raise SampleError(Skip("bad_label", sample.shard, sample.key))
        return number

"""What a probe is asked: which class a video is of, or which of them are true of it."""

from typing import Protocol, TypeAlias, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from worldmodel_train.facts import DataFacts

Labels: TypeAlias = Int[Tensor, "v"] | Bool[Tensor, "v classes"]


@runtime_checkable
class Answers(Protocol):
    """How numbers for each class are read."""

    def loss(self, logits: Float[Tensor, "v classes"], labels: Labels) -> Float[Tensor, ""]:
        """What training makes small."""
        ...

    def accuracy(self, logits: Float[Tensor, "v classes"], labels: Labels) -> Float[Tensor, ""]:
        """The share of answers that are right."""
        ...

    def probabilities(self, logits: Float[Tensor, "*p v classes"]) -> Float[Tensor, "*p v classes"]:
        """Of each class."""
        ...


class OneClass:
    """A video is of one class: `data.labels: one`."""

    def loss(
        self, logits: Float[Tensor, "v classes"], labels: Int[Tensor, "v"]
    ) -> Float[Tensor, ""]:
        """Cross-entropy."""
        return functional.cross_entropy(logits, labels)

    def accuracy(
        self, logits: Float[Tensor, "v classes"], labels: Int[Tensor, "v"]
    ) -> Float[Tensor, ""]:
        """The share of videos named rightly."""
        return (logits.argmax(-1) == labels).float().mean()

    def probabilities(self, logits: Float[Tensor, "*p v classes"]) -> Float[Tensor, "*p v classes"]:
        """They sum to one."""
        return logits.softmax(-1)


class SeveralClasses:
    """Any of the classes may be true of a video: `data.labels: many`."""

    def loss(
        self, logits: Float[Tensor, "v classes"], labels: Bool[Tensor, "v classes"]
    ) -> Float[Tensor, ""]:
        """Binary cross-entropy, the mean over videos and classes."""
        return functional.binary_cross_entropy_with_logits(logits, labels.float())

    def accuracy(
        self, logits: Float[Tensor, "v classes"], labels: Bool[Tensor, "v classes"]
    ) -> Float[Tensor, ""]:
        """The share of classes, over all videos, that are rightly said to be true or not."""
        return ((logits > 0) == labels).float().mean()

    def probabilities(self, logits: Float[Tensor, "*p v classes"]) -> Float[Tensor, "*p v classes"]:
        """Each by itself."""
        return logits.sigmoid()


def answers_of(data: DataFacts) -> Answers:
    """How numbers for each class are read where clips have such labels."""
    return OneClass() if data.labels == "one" else SeveralClasses()

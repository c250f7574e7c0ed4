"""Runs a model over fixed clips in batches, changing nothing about it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

import torch
from einops import reduce
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from worldmodel_train.evaluation.task import Subject
from worldmodel_train.protocols import Encoder, SoundEncoder

TRAINED_ENCODER, UNTRAINED_ENCODER = "trained encoder", "untrained encoder"


EncoderT = TypeVar("EncoderT", bound=Encoder | SoundEncoder)
ItemT = TypeVar("ItemT")


@dataclass(frozen=True, kw_only=True)
class Contestants(Generic[EncoderT]):
    """A trained model, and the same model as it was before training."""

    trained: EncoderT
    untrained: EncoderT

    @classmethod
    def of(cls, subject: Subject, needed: type[EncoderT]) -> "Contestants[EncoderT]":
        """The models of a subject, of which the task needed such."""
        trained, untrained = subject.trained, subject.untrained
        assert isinstance(trained, needed), "the recipe was checked"
        assert isinstance(untrained, needed), "they are of one class"
        return cls(trained=trained, untrained=untrained)

    def __iter__(self) -> Iterator[tuple[str, EncoderT]]:
        """Both models with what the report calls them."""
        return iter([(TRAINED_ENCODER, self.trained), (UNTRAINED_ENCODER, self.untrained)])


def in_batches(items: Iterable[ItemT], size: int) -> Iterator[list[ItemT]]:
    """The items, `size` at a time; the last ones may be fewer."""
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


@contextmanager
def frozen(model: object) -> Iterator[torch.device]:
    """The device of `model`, which is in evaluation mode and records no gradient inside."""
    assert isinstance(model, nn.Module), f"{type(model).__name__} is no nn.Module"
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield device_of(model)
    finally:
        model.train(training)


def device_of(model: object) -> torch.device:
    """Where the weights of `model` are; the CPU for a model without any."""
    assert isinstance(model, nn.Module), f"{type(model).__name__} is no nn.Module"
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def encode_in_batches(
    model: Encoder, clips: UInt8[Tensor, "b t h w c"], batch_size: int
) -> Iterator[Float[Tensor, "_ n d"]]:
    """The target encoder's token latents, batch by batch, on the CPU."""
    with frozen(model) as device:
        for batch in clips.split(batch_size):
            yield model.encode(batch.to(device)).float().cpu()


def mean_latents(
    model: Encoder, clips: UInt8[Tensor, "b t h w c"], batch_size: int
) -> Float[Tensor, "b d"]:
    """One latent for each clip: the mean over its tokens."""
    batches = encode_in_batches(model, clips, batch_size)
    return torch.cat([reduce(latents, "b n d -> b d", "mean") for latents in batches])

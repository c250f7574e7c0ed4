"""What all methods that learn labels from an encoder of another run ask of it and of the clips."""

from collections.abc import Iterator
from itertools import chain

from torch import nn

from worldmodel_train.facts import DataFacts, Misfit
from worldmodel_train.models.sincos import SinCos1d
from worldmodel_train.models.token_fit import counted_misfits, one_length, token_misfits
from worldmodel_train.models.vit import VisionTransformer


def labelled_clip_misfits(data: DataFacts) -> Iterator[Misfit]:
    """Clips without labels, or of several lengths."""
    if data.classes is None:
        message = "a probe learns labels: name the classes, or a file with one a line"
        yield ("data", "classes"), message
    yield from one_length(data)


def require_clip_encoder(network: nn.Module, data: DataFacts, *, origin: str) -> VisionTransformer:
    """The network, known to be an encoder of which all clips are whole tokens.

    Raises:
        ValueError: It is none, or they are not.
    """
    if not isinstance(network, VisionTransformer):
        raise ValueError(
            f"method.encoder: {origin} is a {type(network).__name__}, not an encoder of clips; use "
            "a part such as target_encoder"
        )
    require_whole_tokens(network, data, origin=origin)
    return network


def require_whole_tokens(encoder: VisionTransformer, data: DataFacts, *, origin: str) -> None:
    """Raises ValueError where clips are no whole tokens of the encoder, which is `origin`'s.

    So it does where its positions count those of clips of another size.
    """
    size, position = encoder.patch_embed, encoder.position
    misfits = [token_misfits(size, data, key=f"{origin}: encoder")]
    if isinstance(position, SinCos1d):
        misfits.append(counted_misfits(size, position, data))
    for path, message in chain(*misfits):
        raise ValueError(f"{'.'.join(map(str, path))}: {message}")

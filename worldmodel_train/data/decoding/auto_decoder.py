"""Which decoder a recipe's name means."""

from importlib.util import find_spec

from worldmodel_train.data.decoding.decode import Decoder
from worldmodel_train.data.decoding.pyav_decoder import PyavDecoder


def decord_is_installed() -> bool:
    """Whether decord can be imported; it has no wheels for some machines."""
    return find_spec("decord") is not None


def make_decoder(name: str) -> Decoder:
    """The decoder that a recipe names, in this process; `auto` is PyAV.

    decord does not come second: it opens nothing that PyAV refuses, and may hang on it.
    """
    if name in ("auto", "pyav"):
        return PyavDecoder()
    assert name == "decord", name
    # imported only where it is used: it has no wheels for some machines
    from worldmodel_train.data.decoding.decord_decoder import DecordDecoder

    return DecordDecoder()

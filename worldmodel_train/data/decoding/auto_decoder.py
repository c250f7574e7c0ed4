"""Which decoder a recipe's name means."""

from importlib.util import find_spec

from worldmodel_train.data.decoding.decode import Decoder


def decord_is_installed() -> bool:
    """Whether decord can be imported; it has no wheels for some machines."""
    return find_spec("decord") is not None


def make_decoder(name: str) -> Decoder:
    """The decoder that a recipe names, in this process; `auto` is PyAV.

    decord does not come second: it opens nothing that PyAV refuses, and may hang on it.
    """
    # imported only where they are used: decord has no wheels for some machines, and a step can be
    # measured on machines that have neither
    if name in ("auto", "pyav"):
        from worldmodel_train.data.decoding.pyav_decoder import PyavDecoder

        return PyavDecoder()
    assert name == "decord", name
    from worldmodel_train.data.decoding.decord_decoder import DecordDecoder

    return DecordDecoder()

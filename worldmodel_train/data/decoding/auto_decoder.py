"""decord first; PyAV for what decord cannot open or gets wrong."""

from importlib.util import find_spec

from worldmodel_train.data.decoding.container import read_track
from worldmodel_train.data.decoding.decode import ClipRequest, DecodedClip, DecodeError, Decoder
from worldmodel_train.data.decoding.pyav_decoder import PyavDecoder


class AutoDecoder:
    """Decodes with decord, and says so where it had to turn to PyAV."""

    def __init__(self) -> None:
        from worldmodel_train.data.decoding.decord_decoder import DecordDecoder

        self._first = DecordDecoder()
        self._second = PyavDecoder()

    def decode(self, video: bytes, request: ClipRequest) -> DecodedClip:
        """The clip asked for; raises DecodeError where neither decoder can make it."""
        track = read_track(video, max_pixels=request.max_pixels)
        try:
            return self._first.decode_track(video, track, request)
        except DecodeError as refused:
            second = self._second.decode(video, request)
            return DecodedClip(clip=second.clip, decoder=second.decoder, fallback=str(refused))


def decord_is_installed() -> bool:
    """Whether decord can be imported; it has no wheels for some machines."""
    return find_spec("decord") is not None


def make_decoder(name: str) -> Decoder:
    """The decoder that a recipe names, in this process.

    decord is imported only where it is used: it has no wheels for some machines.
    """
    if name == "pyav":
        return PyavDecoder()
    if name == "auto":
        return AutoDecoder() if decord_is_installed() else PyavDecoder()
    assert name == "decord", name
    from worldmodel_train.data.decoding.decord_decoder import DecordDecoder

    return DecordDecoder()

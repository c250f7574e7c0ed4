"""Decodes a recording and says what is in it, or why it cannot be used."""

from dataclasses import dataclass

from worldmodel_train.data.decoding.decode import DecodeError
from worldmodel_train.data.decoding.sound import open_sound
from worldmodel_train.data.packing.errors import BadVideo
from worldmodel_train.data.packing.probe import Beat


@dataclass(frozen=True, kw_only=True)
class SoundInfo:
    """The stream of sound that training hears."""

    rate: int
    channels: int
    duration: float
    """Seconds, of what could be decoded."""
    codec: str


def probe_sound(recording: bytes, beat: Beat) -> SoundInfo:
    """What decoding all of it shows; raises BadVideo."""
    samples = 0
    try:
        with open_sound(recording) as (container, stream):
            for frame in container.decode(stream):
                samples += frame.samples
                beat()
            context = stream.codec_context
            rate, channels = context.sample_rate, context.channels
            codec = context.codec.canonical_name
    except DecodeError as error:
        raise BadVideo(error.reason, error.detail) from error
    if not samples:
        raise BadVideo("no_samples", "not one sample can be decoded")
    seconds = max(round(samples / rate, 4), 1e-4)
    return SoundInfo(rate=rate, channels=channels, duration=seconds, codec=codec)

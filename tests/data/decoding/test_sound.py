"""Recordings become one channel at one rate, whatever they are; what is none is said so."""

import io

import numpy as np
import pytest
from scipy.signal import resample_poly

from tests.data.audio.conftest import encoded, tone
from worldmodel_train.data.config import DecoderConfig
from worldmodel_train.data.decoding.decode import DecodeError
from worldmodel_train.data.decoding.decode_process import DecodeProcess
from worldmodel_train.data.decoding.sound import SoundRequest, decode_sound
from worldmodel_train.data.decoding.wire import pack_sound_request, unpack_sound_request


def request(samples, *, rate=8000, start=0.0, max_seconds=60.0):
    return SoundRequest(rate=rate, samples=samples, start=start, max_seconds=max_seconds)


def decoded(content, wanted):
    sound = np.full(wanted.samples, np.nan, np.float32)
    return sound, decode_sound(content, wanted, sound)


@pytest.mark.parametrize(
    ("container", "codec", "off"),
    # lossless up to rounding to 16 bits; opus and mp3 lose a little of a pure tone
    [("wav", "pcm_s16le", 1e-4), ("flac", "flac", 1e-4), ("ogg", "libopus", 0.05),
     ("mp3", "libmp3lame", 0.05)],
)  # fmt: skip
def test_a_tone_comes_back_as_it_was(container, codec, off):
    wave = tone(440, 8000)
    sound, heard = decoded(encoded(wave, container=container, codec=codec), request(8000))
    assert heard == 8000
    assert np.abs(sound - wave)[400:-400].max() < off


@pytest.mark.parametrize(("up", "down", "rate"), [(2, 1, 16_000), (1, 2, 4000), (441, 320, 11_025)])
def test_another_rate_is_what_polyphase_filters_give(up, down, rate):
    wave = tone(300, 8000)
    wanted = resample_poly(wave, up, down)
    sound, heard = decoded(encoded(wave), request(len(wanted), rate=rate))
    assert heard == len(wanted)
    # two different low-pass filters, away from the ends
    assert np.abs(sound - wanted)[500:-500].max() < 5e-3


def test_channels_are_averaged():
    left, right = tone(440, 2000), tone(300, 2000, loud=0.2)
    sound, _ = decoded(encoded(np.stack([left, right]), layout="stereo"), request(2000))
    assert np.abs(sound - (left + right) / 2).max() < 1e-4


def test_a_short_recording_is_followed_by_zeros_and_known_as_short():
    sound, heard = decoded(encoded(np.full(500, 0.25)), request(800, start=0.9))
    assert heard == 500
    assert np.abs(sound[:500] - 0.25).max() < 1e-4
    assert not sound[500:].any()


def test_starts_spread_over_all_places_that_leave_room():
    ramp = np.arange(1000) / 2000
    content = encoded(ramp)
    firsts = [decoded(content, request(900, start=s))[0][0] for s in (0.0, 0.5, 0.9999)]
    assert np.abs(np.array(firsts) - np.array([0, 50, 100]) / 2000).max() < 1e-4


def floats(wave):
    """A wav of 32-bit floats."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="wav") as output:
        stream = output.add_stream("pcm_f32le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            wave[None].astype(np.float32), format="flt", layout="mono"
        )
        frame.sample_rate = 8000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty_file"),
        (b"RIFF" + bytes(50), "corrupt_audio"),
        (b"#EXTM3U\n/etc/passwd\n", "corrupt_audio"),
        (encoded(np.zeros(1))[:-2], "no_samples"),
        (floats(np.array([0.1, np.nan, 0.2])), "wild_samples"),
        (floats(np.array([0.1, 1e30])), "wild_samples"),
    ],
    ids=["empty", "torn", "playlist", "nothing", "nan", "huge"],
)
def test_what_is_no_sound_says_why(content, reason):
    with pytest.raises(DecodeError) as error:
        decoded(content, request(100))
    assert error.value.reason == reason


def test_a_recording_beyond_the_limit_is_not_decoded_to_its_end():
    with pytest.raises(DecodeError, match="too_long"):
        decoded(encoded(np.zeros(8000)), request(100, max_seconds=0.5))


def test_a_request_survives_the_wire():
    wanted = request(100, start=0.3)
    assert unpack_sound_request(pack_sound_request(wanted)) == wanted


@pytest.mark.slow
def test_a_process_of_its_own_gives_the_same_and_outlives_what_is_broken():
    content, wanted = encoded(tone(440, 8000)), request(6000, start=0.4)
    expected, length = decoded(content, wanted)
    with DecodeProcess(DecoderConfig()) as process:
        sound = np.empty(6000, np.float32)
        with pytest.raises(DecodeError, match="corrupt_audio"):
            process.decode_sound(b"RIFF", wanted, sound)
        assert process.decode_sound(content, wanted, sound) == length
        assert np.array_equal(sound, expected)

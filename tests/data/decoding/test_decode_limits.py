"""Small files that ask for gigabytes cost the decoding process no more than it may take."""

import struct
import sys

import av
import cv2
import numpy as np
import pytest

from worldmodel_train.data.config import DecoderConfig
from worldmodel_train.data.decoding import container
from worldmodel_train.data.decoding.auto_decoder import make_decoder
from worldmodel_train.data.decoding.decode import DecodeError
from worldmodel_train.data.decoding.decode_process import DecodeProcess

DECODERS = ("decord", "pyav")


def png(width, height):
    """A picture of 64x48 whose header says something else."""
    encoded = cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    return encoded[:16] + struct.pack(">II", width, height) + encoded[24:]


def test_a_handmade_movie_is_a_video(make_mov, make_request):
    picture = png(64, 48)
    video = make_mov(picture, count=4, each=len(picture), overlap=True)
    assert not make_decoder("pyav").decode(video, make_request()).clip.any()


@pytest.mark.parametrize("decoder", DECODERS)
def test_samples_that_share_their_bytes_are_not_all_kept(
    monkeypatch, make_mov, make_request, decoder
):
    monkeypatch.setattr(container, "_LITTLE", 1 << 20)
    video = make_mov(bytes(100_000), count=5000, each=100_000, overlap=True)
    with pytest.raises(DecodeError, match="too_many_packets: 11 hold 1100000 bytes"):
        make_decoder(decoder).decode(video, make_request())


@pytest.mark.parametrize("decoder", DECODERS)
def test_edit_lists_that_repeat_a_video_are_not_followed_for_ever(
    monkeypatch, make_mov, make_request, decoder
):
    monkeypatch.setattr(container, "_MOST_PACKETS", 5000)
    video = make_mov(b"\0", count=500, each=1, overlap=True, edits=[(500, 0)] * 20)
    with pytest.raises(DecodeError, match="too_many_packets: 5001 hold 5001 bytes"):
        make_decoder(decoder).decode(video, make_request())


def test_a_video_whose_packets_are_allowed_is_decoded(monkeypatch, make_video, make_request):
    monkeypatch.setattr(container, "_MOST_PACKETS", 12)
    monkeypatch.setattr(container, "_LITTLE", 0)
    assert make_decoder("pyav").decode(make_video(12), make_request()).clip.shape[0] == 4


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
@pytest.mark.parametrize(
    ("decoder", "reasons"),
    [
        ("pyav", {"out_of_memory"}),
        # which of decord's threads fails first is chance, and not all of them say why
        ("decord", {"out_of_memory", "decord_failed"}),
    ],
)
def test_a_picture_that_needs_more_memory_costs_one_sample(
    make_mov, make_video, make_request, decoder, reasons
):
    picture = png(6000, 6000)
    video = make_mov(picture, count=4, each=len(picture), overlap=True, size=(6000, 6000))
    with DecodeProcess(DecoderConfig(name=decoder, memory_mb=80)) as process:
        with pytest.raises(DecodeError) as error:
            process.decode(video, make_request(max_pixels=1 << 26))
        assert error.value.reason in reasons
        assert process.decode(make_video(), make_request()).decoder == decoder


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_a_file_that_does_not_fit_costs_one_sample(make_request):
    with (
        DecodeProcess(DecoderConfig(memory_mb=64)) as process,
        pytest.raises(DecodeError, match=r"out_of_memory: .*memory_mb=64"),
    ):
        process.decode(bytes(80 << 20), make_request())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_the_clips_own_memory_is_not_the_decoders(make_video, make_request):
    request = make_request(350, size=256)
    with DecodeProcess(DecoderConfig(memory_mb=64)) as process:
        clip = process.decode(make_video(), request).clip
    assert clip.nbytes > 64 << 20


@pytest.mark.parametrize("how", [MemoryError, av.error.MemoryError(12, "Cannot allocate memory")])
def test_a_library_without_memory_has_not_met_a_corrupt_video(monkeypatch, make_request, how):
    def refuse(*_, **__):
        raise how

    monkeypatch.setattr(av, "open", refuse)
    with pytest.raises(DecodeError) as error:
        make_decoder("pyav").decode(b"video", make_request())
    assert error.value.reason == "out_of_memory"

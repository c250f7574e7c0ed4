"""A larger collection of broken and odd videos, if it lies beside the repository."""

import time
from pathlib import Path

import pytest

from worldmodel_train.data.config import DecoderConfig
from worldmodel_train.data.decoding.decode import DecodeError
from worldmodel_train.data.decoding.decode_process import DecodeProcess

FOLDER = Path(__file__).parents[3].parent / "shared" / "data" / "video" / "nasty"
FILES = sorted(FOLDER.glob("*")) if FOLDER.is_dir() else []
HOPELESS = {
    "bad_bitflips_in_mdat.mp4": "corrupt_video",
    "bad_html_error_page.mp4": "corrupt_video",
    "bad_no_moov_truncated.mp4": "corrupt_video",
    "bad_truncated_faststart_60pct.mp4": "corrupt_video",
    "bad_zero_bytes.mp4": "empty_file",
    "bad_zeroed_first_half.mp4": "corrupt_video",
    "gen_audio_only.m4a": "no_video_stream",
    "small_AudioVideoInterleave.avi": "no_frames",
    "small_Mpeg4.mp4": "no_video_stream",
    "small_gif.gif": "missing_frames",
    "small_mp4-with-audio.mp4": "no_video_stream",
}


@pytest.fixture(scope="module")
def process():
    with DecodeProcess(DecoderConfig(timeout_s=60.0)) as decoder:
        yield decoder


def attempt(process, video, request):
    """The shape of the clip, or the reason why there is none."""
    try:
        return process.decode(video, request).clip.shape
    except DecodeError as error:
        return error.reason


@pytest.mark.skipif(not FILES, reason=f"no collection of nasty videos at {FOLDER}")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_nasty_video_is_a_clip_or_a_reason(process, make_request, path):
    begin = time.monotonic()
    outcome = attempt(process, path.read_bytes(), make_request(8, 4.0, size=64))
    assert time.monotonic() - begin < 60
    if path.name in HOPELESS:
        assert outcome == HOPELESS[path.name]
    else:
        assert outcome == (8, 64, 64, 3)

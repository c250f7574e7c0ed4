import io
from pathlib import Path

import av
import pytest

from worldmodel_train.data.packing.errors import BadVideo
from worldmodel_train.data.packing.probe import probe_all, probe_ends


def beat():
    pass


@pytest.mark.parametrize("probe", [probe_ends, probe_all])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_a_good_video_is_described(tmp_path, make_video, probe, suffix):
    info = probe(make_video(tmp_path / f"a{suffix}", frames=15), beat)
    assert (info.frames, info.width, info.height, info.codec) == (15, 64, 48, "h264")
    assert info.fps == pytest.approx(10.0, rel=1e-3)
    assert info.duration == pytest.approx(1.5, abs=0.11)


def test_bytes_in_memory_are_described_like_the_file(tmp_path, make_video):
    path = make_video(tmp_path / "a.mp4")
    assert probe_ends(io.BytesIO(path.read_bytes()), beat) == probe_ends(path, beat)


def test_a_video_that_lost_its_end_is_refused(tmp_path, make_video):
    path = make_video(tmp_path / "a.mkv", frames=40)
    whole = path.read_bytes()
    at_end = make_video(tmp_path / "b.mp4", frames=40).read_bytes()
    path.write_bytes(at_end[: len(at_end) * 2 // 3])  # the mp4 index stands at the end
    with pytest.raises(BadVideo):
        probe_ends(path, beat)
    path.write_bytes(whole[:200])
    with pytest.raises(BadVideo):
        probe_ends(path, beat)


def test_decoding_all_frames_finds_damage_between_the_ends(tmp_path, make_video):
    path = make_video(tmp_path / "a.mp4", frames=40)
    content = bytearray(path.read_bytes())
    middle = len(content) * 2 // 5
    content[middle : middle + 150] = bytes(150)
    path.write_bytes(content)
    with pytest.raises(BadVideo):
        probe_all(path, beat)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", bytes(5000)])
def test_what_is_no_video_is_refused(tmp_path, content):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(BadVideo):
        probe_ends(path, beat)


@pytest.mark.parametrize("probe", [probe_ends, probe_all])
def test_a_video_that_needs_too_much_memory_has_a_reason_of_its_own(tmp_path, monkeypatch, probe):
    def refuse(*_, **__):
        raise av.error.MemoryError(12, "Cannot allocate memory")

    monkeypatch.setattr(av, "open", refuse)
    with pytest.raises(BadVideo, match="out_of_memory"):
        probe(tmp_path / "a.mp4", beat)


def test_absurd_sizes_are_refused(tmp_path, make_video):
    with pytest.raises(BadVideo, match="8x8"):
        probe_ends(make_video(tmp_path / "a.mp4", size=(8, 8)), beat)


@pytest.mark.parametrize("probe", [probe_ends, probe_all])
def test_a_playlist_cannot_open_other_files(tmp_path, make_video, probe):
    secret = make_video(tmp_path / "secret.mp4")
    path = tmp_path / "a.mp4"
    for playlist in (
        f"ffconcat version 1.0\nfile {secret.name}\n",
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret.name}\n#EXT-X-ENDLIST\n",
    ):
        path.write_text(playlist)
        for file in (path, io.BytesIO(playlist.encode())):
            with pytest.raises(BadVideo, match="undecodable"):
                probe(file, beat)


def test_a_colon_in_a_name_is_no_protocol(tmp_path, make_video, monkeypatch):
    make_video(tmp_path / "a.mp4").rename(tmp_path / "12:30 take.mp4")
    monkeypatch.chdir(tmp_path)
    assert probe_ends(Path("12:30 take.mp4"), beat).frames == 12

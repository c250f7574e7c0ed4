import io
import os
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel_train.data.shards.tar_groups import split_name
from worldmodel_train.data.shards.tar_index import read_shard_table
from worldmodel_train.data.shards.tar_members import (
    ChangedMemberError,
    CorruptTarError,
    FileBytes,
    Span,
    read_member,
    tar_members,
)
from worldmodel_train.data.shards.wanted_files import VIDEOS
from worldmodel_train.data.video_files import VIDEO_SUFFIXES


def write_tar(path, files, format=tarfile.PAX_FORMAT):
    with tarfile.open(path, "w", format=format) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def problems(path):
    table = read_shard_table(path)
    return [VIDEOS.problem(table[row]) for row in range(len(table))]


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="\0/", exclude_categories=["Cs"]),
    min_size=1,
    max_size=150,
).filter(lambda name: name not in {".", ".."})


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@settings(max_examples=40, deadline=None)
@given(files=st.dictionaries(NAMES, st.binary(max_size=1200), max_size=5))
def test_members_are_those_that_tarfile_finds(tmp_path_factory, format, files):
    path = write_tar(tmp_path_factory.mktemp("tar") / "a.tar", files, format)
    with path.open("rb") as file:
        found = {m.name: m.span for m in tar_members(FileBytes(file))}
        assert {name: read_member(file, span) for name, span in found.items()} == files


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=3000), at=st.integers(0, 5000), cut=st.integers(0, 6000))
def test_no_damage_breaks_the_scan(tmp_path_factory, data, at, cut):
    path = write_tar(
        tmp_path_factory.mktemp("tar") / "a.tar",
        {f"{i}.{ext}": b"x" * 700 for i in range(2) for ext in ("mp4", "json")},
    )
    raw = bytearray(path.read_bytes())
    raw[at : at + len(data)] = data
    path.write_bytes(raw[:cut])
    table = read_shard_table(path)
    for row in range(len(table)):
        for span in table[row].spans.values():
            assert span.offset + span.size <= path.stat().st_size


def test_a_sample_is_a_video_and_a_json_of_one_key(tmp_path):
    files = {"a/1.mp4": b"one", "a/1.json": b"{}", "a/2.webm": b"two!", "a/2.json": b"{}"}
    path = write_tar(tmp_path / "a.tar", files)
    table = read_shard_table(path)
    assert [table[row].key for row in range(len(table))] == ["a/1", "a/2"]
    with path.open("rb") as file:
        assert read_member(file, table[1].spans["webm"]) == b"two!"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"1.mp4": b"v", "2.mp4": b"v", "2.json": b"{}"}, ["missing_json", ""]),
        ({"1.json": b"{}", "2.mp4": b"v", "2.json": b"{}"}, ["missing_video", ""]),
        ({"1.txt": b"t"}, ["missing_video"]),
        ({}, []),
    ],
)
def test_incomplete_samples_are_kept_with_their_problem(tmp_path, files, expected):
    assert problems(write_tar(tmp_path / "a.tar", files)) == expected


@pytest.mark.parametrize("cut", [512 + 100, 3 * 512 + 100, 4 * 512 + 5])
def test_a_truncated_tar_counts_its_broken_sample(tmp_path, cut):
    files = {"1.mp4": b"v" * 600, "1.json": b"{}", "2.mp4": b"v" * 600, "2.json": b"{}"}
    path = write_tar(tmp_path / "a.tar", files, tarfile.USTAR_FORMAT)
    os.truncate(path, cut)
    assert problems(path)[-1] == "truncated_shard"


def test_a_file_without_bytes_has_no_samples(tmp_path):
    path = tmp_path / "a.tar"
    path.touch()
    assert problems(path) == []


def test_what_is_no_tar_is_corrupt(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(b"<html>" * 500)
    assert problems(path) == ["corrupt_shard"]


def test_a_size_beyond_the_file_takes_no_memory(tmp_path):
    member = tarfile.TarInfo("1.mp4")
    member.size = 1 << 40
    path = tmp_path / "a.tar"
    path.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + b"v" * 512)
    assert problems(path) == ["truncated_shard"]


def test_a_name_header_of_a_gigabyte_is_refused(tmp_path):
    member = tarfile.TarInfo("././@LongLink")
    member.size, member.type = 1 << 30, tarfile.GNUTYPE_LONGNAME
    path = tmp_path / "a.tar"
    path.write_bytes(member.tobuf(tarfile.GNU_FORMAT))
    os.truncate(path, (1 << 30) + 1024)  # sparse
    assert problems(path) == ["corrupt_shard"]


def test_reading_past_the_end_is_an_error(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"1.mp4": b"v" * 2000})
    os.truncate(path, 1500)
    with path.open("rb") as file, pytest.raises(CorruptTarError, match="truncated_shard"):
        read_member(file, Span(512, 2000, 0))


@pytest.mark.parametrize(
    "span", [Span(512, 5, 1), Span(100, 5, 0), Span(-3, 5, 0), Span(512, -1, 0)]
)
def test_a_place_that_holds_no_such_member_is_never_read_as_one(tmp_path, span):
    path = write_tar(tmp_path / "a.tar", {"1.mp4": b"v" * 2000})
    with path.open("rb") as file, pytest.raises(ChangedMemberError):
        read_member(file, span)


def test_keys_end_at_the_first_dot_of_the_last_part():
    assert split_name("a.b/clip.Left.MP4") == ("a.b/clip", "left.mp4")  # of a camera
    assert split_name("a.b/clip.part.NPZ") == ("a.b/clip", "npz")
    assert split_name("../../etc/passwd.mp4") == ("../../etc/passwd", "mp4")


def test_every_video_that_packing_takes_is_read(tmp_path):
    for suffix in VIDEO_SUFFIXES:
        assert problems(write_tar(tmp_path / "a.tar", {f"1{suffix}": b"v", "1.json": b"{}"})) == [
            ""
        ]


@pytest.mark.parametrize("digits", [20, 5000])
def test_an_absurd_length_in_a_pax_header_is_corrupt(tmp_path, digits):
    body = b"9" * digits + b" path=1.mp4\n"
    member = tarfile.TarInfo("x")
    member.size, member.type = len(body), tarfile.XHDTYPE
    path = tmp_path / "a.tar"
    path.write_bytes(member.tobuf(tarfile.USTAR_FORMAT) + body.ljust(8192, b"\0"))
    with path.open("rb") as file, pytest.raises(CorruptTarError, match="corrupt_shard"):
        list(tar_members(FileBytes(file)))

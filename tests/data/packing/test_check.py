import gzip
import hashlib
import io
import json
import re
import shutil
import tarfile

import pytest

from worldmodel_train.data.packing.check import _verified, check_shards, read_index
from worldmodel_train.data.packing.errors import BadVideo, PackError
from worldmodel_train.data.packing.probe import probe_all, probe_ends
from worldmodel_train.data.packing.read import RawSample
from worldmodel_train.data.shards.folder_index import IndexedShard, write_folder_index
from worldmodel_train.data.shards.tar_index import read_shard_table


@pytest.fixture
def copy(tmp_path, packed):
    shutil.copytree(packed, tmp_path / "set")
    return tmp_path / "set"


def problems(out, probe=probe_ends):
    return check_shards(out, probe, workers=1, timeout_s=30.0).problems


def rewrite(out, change):
    """Change the members of the first shard, and make the index agree with its new bytes."""
    shard = out / "shard-000000.tar"
    with tarfile.open(shard) as tar:
        members = [(m.name, tar.extractfile(m).read()) for m in tar]
    with tarfile.open(shard, "w") as tar:
        for name, content in change(members):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    index = json.loads((out / "index.json").read_text())
    content = shard.read_bytes()
    index["shards"][0] |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (out / "index.json").write_text(json.dumps(index))


def _with_999_frames(content):
    return json.dumps(json.loads(content) | {"frames": 999}).encode()


@pytest.mark.parametrize("probe", [probe_ends, probe_all])
def test_a_good_set_is_counted_and_nothing_is_wrong(packed, probe):
    report = check_shards(packed, probe, workers=2, timeout_s=30.0)
    assert report.problems == []
    assert (report.samples, report.labels) == (6, {"run": 3, "walk": 3})
    assert (report.sizes, report.codecs, report.frame_rates) == (
        {"64x48": 6}, {"h264": 6}, {"10": 6},
    )  # fmt: skip
    assert report.seconds == pytest.approx(7.2, abs=0.1)


def test_one_flipped_byte_is_found(copy):
    shard = copy / "shard-000001.tar"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    assert any("shard-000001.tar: its sha256 differs" in p for p in problems(copy))


def test_a_missing_a_truncated_and_an_unlisted_shard_are_found(copy):
    (copy / "shard-000000.tar").unlink()
    shard = copy / "shard-000001.tar"
    shard.write_bytes(shard.read_bytes()[:3000])
    shutil.copy(copy / "shard-000002.tar", copy / "extra.tar")
    found = "\n".join(problems(copy))
    assert "shard-000000.tar: tar, no such file" in found
    assert "shard-000001.tar: 3000 bytes, not" in found
    assert "shard-000001.tar: tar, " in found
    assert "extra.tar: not listed" in found


def test_a_tar_cut_between_two_samples_is_truncated(copy):
    rewrite(copy, lambda members: members)
    shard = copy / "shard-000000.tar"
    with tarfile.open(shard) as tar:
        tar.getmembers()
        end = tar.offset
    shard.write_bytes(shard.read_bytes()[:end])
    assert any("tar, truncated: it ends early" in p for p in problems(copy))


def test_a_sample_without_json_or_without_video_is_found(copy):
    rewrite(copy, lambda members: members[1:-1])
    found = "\n".join(problems(copy))
    assert "json, missing" in found
    assert "video, missing" in found


def test_a_json_that_lies_is_found(copy):
    def lie(members):
        for name, content in members:
            is_json = name.endswith(".json")
            yield name, _with_999_frames(content) if is_json else content

    rewrite(copy, lie)
    assert any("holds 12 frames 64x48" in p for p in problems(copy))


def test_a_video_that_is_not_the_hashed_one_is_found(copy, make_video, tmp_path):
    other = make_video(tmp_path / "other.mp4").read_bytes()
    rewrite(copy, lambda ms: [(n, other if n.endswith(".mp4") else c) for n, c in ms])
    assert any("hash differs from its json" in p for p in problems(copy))


def test_an_unfinished_or_nonsense_index_is_one_line(copy, tmp_path):
    index = json.loads((copy / "index.json").read_text())
    for name in ("../../etc/passwd", "a\0.tar"):
        index["shards"][0]["name"] = name
        (copy / "index.json").write_text(json.dumps(index))
        with pytest.raises(PackError, match="is not a file name"):
            problems(copy)
    (copy / "index.json").write_text('{"version": 7}')
    with pytest.raises(PackError, match="version"):
        problems(copy)
    (copy / "index.json").unlink()
    with pytest.raises(PackError, match="repeat the pack command"):
        problems(copy)
    with pytest.raises(PackError, match="is it a packed folder"):
        problems(tmp_path / "nowhere")


def test_rows_that_are_another_sets_are_named(copy):
    index = copy / "samples.idx"
    shard = IndexedShard("shard-000001.tar", 5, read_shard_table(copy / "shard-000001.tar"))
    write_folder_index(index, [shard])
    assert [line.split(";")[0] for line in problems(copy)] == [
        f"samples.idx: differs from index.json for shard-00000{i}.tar" for i in range(3)
    ]
    index.write_bytes(index.read_bytes()[:-1])
    assert "it was cut" in problems(copy)[0]
    index.unlink()
    assert not problems(copy)


HOSTILE_JSON = {
    b"[" * 100_000: "is nested deeper than 64 levels",
    b"9" * 5000: "a whole number of 5000 digits",
    b"\xff": "is not UTF-8 text",
    b"[]": "is not a JSON object",
    b'{"fps": NaN}': "NaN is not a number in JSON",
    b'{"fps": 1e999}': "1e999 is too large a number",
    b'{"fps": 1, "fps": 2}': '"fps" is written twice',
    b'{"fps": "fast"}': 'fps: expected a number, got "fast"',
}


@pytest.mark.parametrize(("content", "words"), HOSTILE_JSON.items(), ids=HOSTILE_JSON.values())
def test_hostile_json_of_a_sample_is_said_in_our_words(content, words):
    sample = RawSample(key="k", suffix=".mp4", video=b"", description=content)
    with pytest.raises(BadVideo, match=re.escape(words)) as error:
        _verified(sample, probe_ends, lambda: None)
    assert error.value.reason == "json"
    assert "pydantic" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("content", "words"), HOSTILE_JSON.items(), ids=HOSTILE_JSON.values())
def test_a_hostile_index_names_its_file(tmp_path, content, words):
    (tmp_path / "index.json").write_bytes(content.replace(b"fps", b"version"))
    with pytest.raises(PackError) as error:
        read_index(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}/index.json: ")
    words = words.replace("fps", "version").replace("a number, got", "a whole number, got")
    assert words in str(error.value)
    assert "pydantic" not in str(error.value)


def test_a_folder_without_an_index_is_told_from_others(tmp_path):
    (tmp_path / "a.tar.gz").touch()
    with pytest.raises(PackError, match=r"a\.tar\.gz is compressed.*gunzip the shards"):
        read_index(tmp_path)
    with pytest.raises(PackError, match="is a file; name the folder"):
        read_index(tmp_path / "a.tar.gz")
    (tmp_path / "a.tar").touch()
    with pytest.raises(PackError, match=r"`wmt data index .*` looks for what cannot be used"):
        read_index(tmp_path)


def test_a_shard_that_is_gzip_under_the_name_of_a_tar_is_called_so(copy):
    shard = copy / "shard-000000.tar"
    shard.write_bytes(gzip.compress(shard.read_bytes()))
    assert "shard-000000.tar: tar, compressed with gzip: decompress it" in problems(copy)

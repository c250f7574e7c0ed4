import pickle
import tarfile
from pathlib import Path

import pytest

from worldmodel_train.data.shards import shard_set, wanted_files
from worldmodel_train.data.shards.folder_index import INDEX_FILE, IndexedShard, write_folder_index
from worldmodel_train.data.shards.shard_set import ShardSet
from worldmodel_train.data.shards.source import SampleError
from worldmodel_train.data.shards.tar_index import read_shard_table
from worldmodel_train.data.shards.wanted_files import DESCRIBED_VIDEOS


def write_rows(*paths):
    shards = [IndexedShard(p.name, p.stat().st_size, read_shard_table(p)) for p in paths]
    write_folder_index(paths[0].parent / INDEX_FILE, shards)


@pytest.fixture
def paths(make_shard):
    made = [make_shard(f"{s}.tar", {f"{s}{i}": f"{s}-{i}".encode() for i in "ab"}) for s in "xy"]
    write_rows(*made)
    return made


def videos(shards):
    return [shards.video(i).video.decode() for i in range(len(shards))]


@pytest.fixture
def never_scanned(monkeypatch):
    def refuse(_):
        raise AssertionError("a shard with an index was scanned")

    monkeypatch.setattr(shard_set, "scan", refuse)


def test_an_indexed_set_is_read_without_a_scan(paths, never_scanned):
    shards = ShardSet(list(map(str, paths)))
    assert videos(shards) == ["x-a", "x-b", "y-a", "y-b"]
    assert [shards.video(i).key for i in range(4)] == ["xa", "xb", "ya", "yb"]
    assert shards.sample(2, DESCRIBED_VIDEOS).files["json"] == b'{"label": "label of ya"}'
    assert shards.num_stale == 0


def test_a_copy_in_another_process_reads_the_same(paths, never_scanned):
    shards = ShardSet(list(map(str, paths)))
    first = videos(shards)
    assert videos(pickle.loads(pickle.dumps(shards))) == first


def test_a_json_too_large_to_be_parsed_is_not_read_and_its_video_is(paths, monkeypatch):
    monkeypatch.setattr(wanted_files, "JSON_LIMIT", 10)
    shards = ShardSet(list(map(str, paths)))
    with pytest.raises(SampleError) as error:
        shards.sample(0, DESCRIBED_VIDEOS).files["json"]
    assert error.value.skip == ("too_large", str(paths[0]), "xa")
    assert shards.video(0).video == b"x-a"


def test_problems_of_samples_are_in_the_index(make_shard, never_scanned):
    path = make_shard("a.tar", {"1": b"v"}, without_json=["1"])
    write_rows(path)
    with pytest.raises(SampleError) as error:
        ShardSet([str(path)]).video(0)
    assert error.value.skip == ("missing_json", str(path), "1")


def test_a_shard_of_another_size_is_scanned_when_opened_and_the_log_says_so(
    paths, make_shard, caplog
):
    shards = ShardSet(list(map(str, paths)))
    make_shard("x.tar", {f"new{i}": f"new-{i}".encode() * 5000 for i in range(3)})
    assert shards.video(0).key == "new0"
    assert [shards.video(i).key for i in range(4)] == ["new0", "new1", "ya", "yb"]
    assert shards.num_stale == 1
    assert caplog.text.count("is not the shard of its index") == 1


def test_a_shard_with_fewer_samples_than_its_index_gives_errors_not_other_samples(
    paths, make_shard
):
    shards = ShardSet(list(map(str, paths)))
    make_shard("x.tar", {"only": b"v" * 30_000})
    assert shards.video(0).key == "only"
    with pytest.raises(SampleError, match="truncated_shard"):
        shards.video(1)
    assert shards.video(2).key == "ya"


def test_another_shard_of_the_same_size_is_never_read_by_the_old_places(paths, make_shard):
    shards = ShardSet(list(map(str, paths)))
    size = paths[0].stat().st_size
    make_shard("x.tar", {"q": b"quite other bytes", "r": b"r"})
    assert paths[0].stat().st_size == size
    assert (shards.video(0).key, shards.video(0).video) == ("q", b"quite other bytes")
    assert shards.sample(1, DESCRIBED_VIDEOS).files["json"] == b'{"label": "label of r"}'
    assert shards.num_stale == 1


def test_swapped_samples_of_one_size_are_told_apart_by_their_headers(paths, make_shard):
    shards = ShardSet(list(map(str, paths)))
    make_shard("x.tar", {"xb": b"x-b", "xa": b"x-a"})
    assert [(shards.video(i).key, shards.video(i).video) for i in (0, 1)] == [
        ("xb", b"x-b"),
        ("xa", b"x-a"),
    ]


@pytest.mark.parametrize("damage", ["gone", "nonsense"])
def test_rows_that_cannot_be_read_are_found_by_a_scan(paths, damage):
    shards = ShardSet(list(map(str, paths)))
    index = paths[0].with_name(INDEX_FILE)
    index.unlink()
    if damage == "nonsense":
        index.write_bytes(b"\xff" * 5000)
    assert videos(shards) == ["x-a", "x-b", "y-a", "y-b"]
    assert shards.num_stale == 2


def open_files(folder):
    """How many this process has open there; what it has elsewhere comes and goes."""
    links = [str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
    return sum(link.startswith(str(folder)) for link in links)


def test_more_folders_than_files_may_be_open_are_read(tmp_path, make_shard, monkeypatch):
    monkeypatch.setattr("worldmodel_train.data.shards.open_files._MOST_OPEN", 2)
    paths = []
    for i in range(5):
        (tmp_path / str(i)).mkdir()
        paths.append(make_shard(f"{i}/a.tar", {f"{i}": f"video {i}".encode()}))
        write_rows(paths[-1])
    shards = ShardSet(list(map(str, paths)))
    assert videos(shards) == [f"video {i}" for i in range(5)]
    assert open_files(tmp_path) == 2
    del shards
    assert open_files(tmp_path) == 0


def test_a_shard_that_grew_behind_its_table_is_scanned_again(make_shard):
    path = make_shard("a.tar", {"1": b"one"})
    shards = ShardSet([str(path)])
    assert shards.video(0).key == "1"
    with tarfile.open(path, "w") as tar:
        for name in ("2.mp4", "2.json"):
            tar.addfile(tarfile.TarInfo(name))
    assert shards.video(0).key == "2"

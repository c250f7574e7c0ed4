import pytest

from worldmodel_train.data.shards import find_files
from worldmodel_train.data.shards.find_files import list_files
from worldmodel_train.data.shards.shard_files import ShardFiles


def found(*patterns):
    return list(ShardFiles(find_files.find_files(map(str, patterns))))


@pytest.fixture
def tree(tmp_path):
    for name in ("b/1.tar", "b/0.tar", "a/2.tar", "a/deep/3.tar", "a/note.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "folder.tar").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*/*.tar", ["a/2.tar", "b/0.tar", "b/1.tar"]),
        ("**/*.tar", ["a/2.tar", "a/deep/3.tar", "b/0.tar", "b/1.tar"]),
        ("b/[1-9].tar", ["b/1.tar"]),
        ("a", ["a/2.tar"]),
        ("[ab]/0.tar", ["b/0.tar"]),
    ],
)
def test_globs_find_files_in_order_of_their_names(tree, pattern, names):
    assert found(tree / pattern) == [str(tree / name) for name in names]


def test_relative_patterns_stay_relative(tree, monkeypatch):
    monkeypatch.chdir(tree / "b")
    assert found("*.tar") == found("0.tar", "1.tar") == ["0.tar", "1.tar"]


def test_many_named_files_are_found_by_one_listing(tmp_path, monkeypatch):
    names = [f"{i:03d}.tar" for i in range(100)]
    for name in names:
        (tmp_path / name).touch()
    listings = []
    monkeypatch.setattr(
        find_files, "list_files", lambda folder: listings.append(folder) or list_files(folder)
    )
    assert found(*(tmp_path / name for name in names)) == [str(tmp_path / n) for n in names]
    assert listings == [str(tmp_path)]


@pytest.mark.parametrize("many", [2, 100])
def test_the_first_missing_file_is_named(tmp_path, many):
    for i in range(many - 1):
        (tmp_path / f"{i}.tar").touch()
    with pytest.raises(FileNotFoundError, match=f"{many - 1}.tar does not exist"):
        found(*(tmp_path / f"{i}.tar" for i in range(many)))


@pytest.mark.parametrize("pattern", ["none/*.tar", "b/*.mp4", "n*/*.tar", "a/n*", "**/4.tar"])
def test_a_pattern_without_a_match_is_named(tree, pattern):
    if pattern == "a/n*":
        (tree / "a/note.txt").unlink()
    with pytest.raises(FileNotFoundError, match="nothing matches"):
        found(tree / pattern)


def test_links_to_files_count_and_broken_ones_do_not(tree):
    (tree / "b/9.tar").symlink_to(tree / "b/0.tar")
    (tree / "b/8.tar").symlink_to(tree / "gone")
    assert found(tree / "b/*.tar")[-1] == str(tree / "b/9.tar")
    assert len(found(tree / "b")) == 3

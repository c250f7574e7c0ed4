import re

import pytest

from worldmodel_train.data.shards.resolve import resolve_shards
from worldmodel_train.data.source_config import ClipConfig, SourceConfig

CLIP = ClipConfig(frames=4)


def source(*shards):
    return SourceConfig(name="k710", shards=shards, clip=CLIP)


@pytest.fixture
def folder(tmp_path):
    for number in range(8, 12):
        (tmp_path / f"{number:03d}.tar").touch()
    return tmp_path


def names(*shards):
    return [path.rsplit("/", 1)[-1] for path in resolve_shards(source(*shards))]


def test_globs_folders_ranges_and_lists_name_the_same_files(folder):
    every = ["008.tar", "009.tar", "010.tar", "011.tar"]
    assert names(f"{folder}/*.tar") == every
    assert names(str(folder)) == every
    assert names(f"{folder}/{{008..011}}.tar") == every
    assert names(f"{folder}/{{008,011}}.tar", f"{folder}/008.tar") == ["008.tar", "011.tar"]


def test_variables_are_filled_in(folder, monkeypatch):
    monkeypatch.setenv("WMT_TEST_DATA", str(folder))
    assert len(names("$WMT_TEST_DATA/*.tar", "${WMT_TEST_DATA}/*.tar")) == 4


def test_an_unset_variable_is_named(monkeypatch):
    monkeypatch.delenv("WMT_TEST_DATA", raising=False)
    with pytest.raises(ValueError, match=r"k710.*WMT_TEST_DATA.*not set"):
        resolve_shards(source("$WMT_TEST_DATA/*.tar"))


@pytest.mark.parametrize("pattern", ["{folder}/none*.tar", "{folder}/{{007..009}}.tar"])
def test_missing_shards_name_the_pattern(folder, pattern):
    pattern = pattern.format(folder=folder)
    with pytest.raises(ValueError, match=rf"k710.*{re.escape(pattern)}"):
        resolve_shards(source(pattern))


def test_missing_assets_are_named():
    with pytest.raises(ValueError, match="assets:no/such"):
        resolve_shards(source("assets:no/such/*.tar"))


def test_streams_are_expanded_but_not_opened():
    assert resolve_shards(source("https://host/{00..02}.tar", "http://host/a.tar")) == (
        "https://host/00.tar",
        "https://host/01.tar",
        "https://host/02.tar",
        "http://host/a.tar",
    )


def test_the_shell_keeps_its_own_braces_and_variables():
    command = "pipe:for f in $LIST; do awk '{print $1, $2}' {1..2}.txt; done"
    expanded = resolve_shards(source(command))
    assert len(expanded) == 2
    assert all("$LIST" in shard and "{print $1, $2}" in shard for shard in expanded)


def test_files_and_streams_do_not_mix_in_one_source():
    with pytest.raises(ValueError, match="two sources"):
        source("/data/a.tar", "https://host/b.tar")


def test_a_store_whose_package_is_missing_says_what_to_install(monkeypatch):
    def missing(_):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.get_filesystem_class", missing)
    with pytest.raises(ValueError, match=r"s3://b/a\.tar.*Install s3fs"):
        resolve_shards(source("s3://b/a.tar"))


def test_a_stream_hidden_in_a_variable_is_refused(monkeypatch):
    monkeypatch.setenv("WMT_TEST_DATA", "s3://bucket")
    with pytest.raises(ValueError, match="write its scheme in the recipe"):
        resolve_shards(source("$WMT_TEST_DATA/a.tar"))


@pytest.mark.parametrize("pattern", ["{{0..9999999999}}.tar", "{folder}/{{0..9999999}}/{{0..9}}"])
@pytest.mark.parametrize("scheme", ["", "https://host/", "pipe:cat "])
def test_endless_ranges_are_refused_at_once(folder, pattern, scheme):
    with pytest.raises(ValueError, match=r"data: shards '.*' are \d.* at most"):
        resolve_shards(source(scheme + pattern.format(folder=folder)))


def test_many_patterns_do_not_get_round_the_limit(monkeypatch):
    monkeypatch.setattr("worldmodel_train.data.shards.resolve.MAX_SHARDS", 10)
    with pytest.raises(ValueError, match="has over 10 shards"):
        resolve_shards(source("https://host/{0..5}.tar", "https://other/{0..5}.tar"))


@pytest.mark.parametrize("name", ["a.tar.gz", "*.tar.gz", "{0..3}.tgz"])
def test_compressed_shards_say_what_to_do(tmp_path, name):
    (tmp_path / "a.tar.gz").touch()
    with pytest.raises(ValueError, match="are compressed; unpack them"):
        resolve_shards(source(f"{tmp_path}/{name}"))


@pytest.mark.parametrize("pattern", ["{folder}", "{folder}/*.tar"])
def test_a_folder_of_compressed_shards_says_what_to_do(tmp_path, pattern):
    (tmp_path / "a.tar.gz").touch()
    with pytest.raises(ValueError, match=r"only a\.tar\.gz and the like: gunzip them"):
        resolve_shards(source(pattern.format(folder=tmp_path)))

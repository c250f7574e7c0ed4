"""Shard strings of a recipe -> shards: files that exist, or streams."""

import os
import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import islice

import fsspec

from worldmodel_train.data.shards.braces import MAX_SHARDS, expand_braces, expand_ranges
from worldmodel_train.data.shards.find_files import find_files
from worldmodel_train.data.shards.shard_files import FolderFiles, ShardFiles
from worldmodel_train.data.source_config import STREAM_PREFIXES, ShardsConfig

_ASSETS = "assets:"
_COMPRESSED = (".gz", ".tgz", ".bz2", ".xz", ".zst")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")


def resolve_shards(source: ShardsConfig) -> Sequence[str]:
    """Paths or stream addresses of a source's shards, each once, in the order written.

    Raises ValueError naming the pattern where a file is missing or nothing matches. Large folders
    are listed once; no file is looked at by itself.
    """
    if source.streams:
        streams = (shard for p in source.patterns for shard in _stream_shards(source, p))
        found = tuple(dict.fromkeys(islice(streams, MAX_SHARDS + 1)))
        if len(found) > MAX_SHARDS:
            raise ValueError(
                f"data: source '{source.name}' has over {MAX_SHARDS:,} shards; make two of it"
            )
        return found
    return ShardFiles(part for p in source.patterns for part in _local_shards(source, p))


def _stream_shards(source: ShardsConfig, pattern: str) -> Iterator[str]:
    # The shell of a pipe expands its own variables and lists.
    if pattern.startswith("pipe:"):
        return expand_ranges(pattern)
    if not pattern.startswith(("http://", "https://")):
        _require_protocol(pattern)
    return expand_braces(_expand_variables(source, pattern))


def _require_protocol(pattern: str) -> None:
    try:
        fsspec.get_filesystem_class(pattern.split(":", 1)[0])
    except ImportError as error:
        raise ValueError(f"data: '{pattern}' cannot be opened: {error}") from error


def _local_shards(source: ShardsConfig, pattern: str) -> Iterator[FolderFiles]:
    location = _expand_variables(source, pattern)
    if location.startswith(STREAM_PREFIXES):
        raise ValueError(
            f"data: shards '{pattern}' of source '{source.name}' become the stream '{location}'; "
            "write its scheme in the recipe, only the rest may come from a variable"
        )
    if location.startswith(_ASSETS):
        inside = location.removeprefix(_ASSETS)
        location = str(files("worldmodel_train").joinpath("assets", inside))
    if location.endswith(_COMPRESSED):
        raise ValueError(
            f"data: shards '{pattern}' of source '{source.name}' are compressed; unpack them to "
            ".tar, as samples are read by their place in it (videos are compressed already)"
        )
    try:
        yield from find_files(os.path.expanduser(name) for name in expand_braces(location))  # noqa: PTH111
    except FileNotFoundError as error:
        raise ValueError(_missing(source, pattern, str(error))) from None


def _missing(source: ShardsConfig, pattern: str, what: str) -> str:
    return (
        f"data: shards of source '{source.name}' are missing: {what} (from shards: '{pattern}'). "
        "Correct the path, or make shards with `wmt data pack SRC OUT`"
    )


def _expand_variables(source: ShardsConfig, pattern: str) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in os.environ:
            raise ValueError(
                f"data: shards of source '{source.name}' need the environment variable {name} "
                f"(in '{pattern}'), which is not set; run `export {name}=...`"
            )
        return os.environ[name]

    return _VARIABLE.sub(value, pattern)

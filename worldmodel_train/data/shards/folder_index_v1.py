"""Rows of a `samples.idx` of version 1: a video and a json for each sample, and no checksums."""

import os
import struct

from worldmodel_train.data.shards.shard_table import ShardSample
from worldmodel_train.data.shards.tar_members import Span

# offset and size of video and json, checks of both, place and size of the key, problem, unused
_ROW = struct.Struct("<qqqqIIIHBx")
_PROBLEMS = ("", "missing_json", "missing_video", "truncated_shard", "corrupt_shard")
_VIDEO = "mp4"  # the version does not say which kind of video it is


def read_row(index: int, place: int, num_samples: int, number: int) -> ShardSample:
    """One sample of the shard whose rows lie at `place`; ValueError where the bytes are no row.

    `index` is the open file's descriptor.
    """
    raw = os.pread(index, _ROW.size, place + number * _ROW.size)
    if len(raw) < _ROW.size:
        raise ValueError("it ends early")
    *places, video_check, json_check, key_begin, key_size, problem = _ROW.unpack(raw)
    if problem >= len(_PROBLEMS):
        raise ValueError(f"no problem has the number {problem}")
    video, json = Span(places[0], places[1], video_check), Span(places[2], places[3], json_check)
    key = os.pread(index, key_size, place + num_samples * _ROW.size + key_begin)
    return ShardSample(
        key=key.decode(),
        # no file lies at the beginning of a tar: its header does
        spans={name: span for name, span in ((_VIDEO, video), ("json", json)) if span.offset},
        # what is missing shows in the spans
        problem=_PROBLEMS[problem] if problem > _PROBLEMS.index("missing_video") else "",
    )

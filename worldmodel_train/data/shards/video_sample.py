"""What the video data needs of a sample: a video, and the json that describes it."""

from collections.abc import Mapping

from worldmodel_train.data.shards.shard_table import ShardSample
from worldmodel_train.data.shards.tar_members import Span
from worldmodel_train.data.video_files import IMAGE_SUFFIXES, VIDEO_SUFFIXES

VIDEO_EXTENSIONS = frozenset(suffix[1:] for suffix in VIDEO_SUFFIXES | IMAGE_SUFFIXES)


def video_of(spans: Mapping[str, Span]) -> Span | None:
    """The first of a sample's files whose extension is a video's."""
    return next((spans[extension] for extension in spans if extension in VIDEO_EXTENSIONS), None)


def problem_of(sample: ShardSample) -> str:
    """Why a sample cannot be used as a video; empty where it can."""
    if sample.problem:
        return sample.problem
    if video_of(sample.spans) is None:
        return "missing_video"
    return "" if "json" in sample.spans else "missing_json"

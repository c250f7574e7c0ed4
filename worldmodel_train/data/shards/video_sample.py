"""What the video data needs of a sample: a video, and the json that describes it."""

from worldmodel_train.data.shards.shard_table import ShardSample
from worldmodel_train.data.shards.tar_index import VIDEO_EXTENSIONS
from worldmodel_train.data.shards.tar_members import Span


def video_of(sample: ShardSample) -> Span | None:
    """The sample's first video."""
    videos = (span for extension, span in sample.spans.items() if extension in VIDEO_EXTENSIONS)
    return next(videos, None)


def problem_of(sample: ShardSample) -> str:
    """Why a sample cannot be used as a video; empty where it can."""
    if sample.problem:
        return sample.problem
    if video_of(sample) is None:
        return "missing_video"
    return "" if "json" in sample.spans else "missing_json"

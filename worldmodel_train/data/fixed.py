"""A fixed set of clips, for pictures and evaluation: centre crops in shard order."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64, UInt8
from torch import Tensor

from worldmodel_train.data.config import DecoderConfig, SourceConfig
from worldmodel_train.data.decoding.crop import CENTER_CROP
from worldmodel_train.data.decoding.decode import (
    WITHOUT_ANSWER,
    ClipRequest,
    Decoded,
    DecodeError,
    Decoder,
)
from worldmodel_train.data.decoding.decode_process import DecodeProcess
from worldmodel_train.data.health import shown
from worldmodel_train.data.labels import Label, LabelReader, label_text, stack_labels
from worldmodel_train.data.remedies import remedy
from worldmodel_train.data.shards.resolve import resolve_shards
from worldmodel_train.data.shards.shard_set import ShardSet
from worldmodel_train.data.shards.source import EncodedSample, SampleError
from worldmodel_train.data.shards.wanted_files import DESCRIBED_VIDEOS
from worldmodel_train.facts import FrameSize
from worldmodel_train.types import Clips, Skip

_log = logging.getLogger(__name__)

_MOST_LOST = 16  # videos; the decoder was waited for twice with each


@dataclass(frozen=True, kw_only=True)
class FixedClips:
    """Clips, the key of each one's video, and the label its json names, if any."""

    clips: UInt8[Tensor, "b t h w c"]
    keys: tuple[str, ...]
    labels: tuple[str | None, ...]
    skipped: tuple[Skip, ...]
    times: Float[Tensor, "b t"] | None = None
    """Seconds from the first picture of a clip's video to each of the clip's."""
    class_numbers: Int64[Tensor, "b"] | Bool[Tensor, "b classes"] | None = None
    """The numbers of the labels, or which classes each has, where the classes are known."""
    length_index: int = 0
    """Which of the clip lengths that are trained on is theirs, or nearest."""

    def as_read(self) -> Clips:
        """The clips as a loader would give them."""
        return Clips(
            pixels=self.clips,
            samples=tuple(range(len(self.clips))),
            length_index=self.length_index,
            labels=self.class_numbers,
            times=self.times,
        )


def load_clips(
    source: SourceConfig,
    *,
    size: FrameSize,
    limit: int,
    decoder: DecoderConfig,
    clips_per_video: int = 1,
    labels: LabelReader | None = None,
) -> FixedClips:
    """Up to `limit` centre-cropped clips, the same on every call; bad samples are left out.

    Clips of one video follow each other, their starts spread evenly over it. With `labels`, a
    sample that has none of their classes is bad. Raises ValueError if no video can be used.
    """
    if source.streams:
        raise ValueError(
            f"data: source '{source.name}' is a stream; fixed clips need shards on a file system"
        )
    shards = ShardSet(resolve_shards(source))
    clips: list[UInt8[np.ndarray, "t h w c"]] = []
    keys: list[str] = []
    texts: list[str | None] = []
    times: list[Float64[np.ndarray, "t"]] = []
    numbers: list[Label] = []
    skipped: list[Skip] = []
    with DecodeProcess(decoder) as process:
        for number in range(len(shards)):
            try:
                sample = shards.sample(number, DESCRIBED_VIDEOS)
                text = label_text(sample)
                found = [labels.label(sample)] if labels else []
                requests = _requests(source, size, decoder, clips_per_video)
                made, decoded = _clips(process, sample, requests)
            except SampleError as error:
                skipped.append(error.skip)
                _require_answers(source.name, skipped)
                continue
            clips += list(made)
            keys += [sample.key] * len(made)
            texts += [text] * len(made)
            times += decoded.times
            numbers += found * len(made)
            if len(clips) >= limit:
                break
    for skip in skipped:
        _log.warning("skipped %s", shown(skip))
    if not clips:
        reasons = Counter(skip.reason for skip in skipped)
        counts = ", ".join(f"{reason} {n}" for reason, n in reasons.most_common()) or "it is empty"
        raise ValueError(
            f"data: source '{source.name}' has no video that can be used ({counts}). "
            f"{remedy(reasons)}"
        )
    return FixedClips(
        clips=torch.from_numpy(np.stack(clips[:limit])),
        keys=tuple(keys[:limit]),
        labels=tuple(texts[:limit]),
        times=torch.from_numpy(np.stack(times[:limit]).astype(np.float32)),
        class_numbers=stack_labels(numbers[:limit]) if labels else None,
        skipped=tuple(skipped),
    )


def _require_answers(source: str, skipped: Sequence[Skip]) -> None:
    """Raises ValueError where waiting for the decoder has been in vain too often."""
    reasons = Counter(skip.reason for skip in skipped if skip.reason in WITHOUT_ANSWER)
    if reasons.total() >= _MOST_LOST:
        counts = ", ".join(f"{reason} {n}" for reason, n in reasons.most_common())
        raise ValueError(
            f"data: {reasons.total()} videos of source '{source}' got no answer from the decoder "
            f"({counts}); the last is {shown(skipped[-1])}. {remedy(reasons)}"
        )


def _requests(
    source: SourceConfig, size: FrameSize, decoder: DecoderConfig, count: int
) -> Sequence[ClipRequest]:
    return [
        ClipRequest(
            frames=source.clip.frames,
            fps=source.clip.fps,
            start=(i + 0.5) / count,
            size=size,
            crop=CENTER_CROP,
            max_pixels=decoder.max_pixels,
        )
        for i in range(count)
    ]


def _clips(
    decoder: Decoder, sample: EncodedSample, requests: Sequence[ClipRequest]
) -> tuple[UInt8[np.ndarray, "n t h w c"], Decoded]:
    """The clips of a sample, and what is known of them; raises SampleError."""
    clips = np.empty((len(requests), *requests[0].shape), dtype=np.uint8)
    try:
        decoded = decoder.decode_into(sample.video, requests, list(clips))
    except DecodeError as error:
        raise SampleError(Skip(error.reason, sample.shard, sample.key)) from error
    return clips, decoded

"""The clips by which a video is looked at where nothing is drawn at random."""

from collections.abc import Sequence
from dataclasses import dataclass

from worldmodel_train.data.decoding.crop import Crop, ShortSideCrop, view_crops
from worldmodel_train.data.decoding.decode import ClipRequest
from worldmodel_train.data.decoding.frame_steps import FrameSteps
from worldmodel_train.data.source_config import SourceConfig
from worldmodel_train.facts import FrameSize


@dataclass(frozen=True, kw_only=True)
class ViewGrid:
    """How often a video is looked at: at so many times, and each time at so many places."""

    segments: int = 1
    crops: int = 1
    """Along the longer side, from end to end; one is the centre."""


def view_requests(
    source: SourceConfig, size: FrameSize, views: ViewGrid, *, max_pixels: int
) -> Sequence[ClipRequest]:
    """The clips of each segment, one after the other: its crops."""
    published = source.protocol == "vjepa2"
    return [
        ClipRequest(
            frames=source.clip.frames,
            fps=source.clip.fps,
            start=0.5 if published else (i + 0.5) / views.segments,
            size=size,
            crop=crop,
            max_pixels=max_pixels,
            steps=FrameSteps(step=source.clip.frame_step, segment=i, segments=views.segments)
            if published
            else None,
        )
        for i in range(views.segments)
        for crop in (_short_side_crops(size, views.crops) if published else view_crops(views.crops))
    ]


def _short_side_crops(size: FrameSize, count: int) -> Sequence[Crop | ShortSideCrop]:
    """The published crops: one leaves out a frame around it, of several none is left out."""
    side = size.height
    if count == 1:
        return [ShortSideCrop(short_side=side * 256 // 224)]
    return [ShortSideCrop(short_side=side, view=i, views=count) for i in range(count)]

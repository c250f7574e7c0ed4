"""A picture of a set of shards: clips as rows, six moments of each as columns."""

import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from worldmodel_train.config.json_text import JsonError, parse_model
from worldmodel_train.config.printable import printable
from worldmodel_train.data.packing.check import read_index, shard_path
from worldmodel_train.data.packing.errors import BadVideo, PackError
from worldmodel_train.data.packing.journal import Index
from worldmodel_train.data.packing.probe import open_video
from worldmodel_train.data.packing.read import RawSample, open_shard, read_samples
from worldmodel_train.data.packing.sample import SampleInfo

MOMENTS = 6
THUMB_HEIGHT, THUMB_WIDTH = 120, 200  # pixels a frame may take
LONGEST_LINE = 34  # characters beside the pictures

_Style = dict[str, Any]
_TITLE: _Style = {"color": "white", "fontsize": 13, "weight": "bold"}
_NAME: _Style = {"color": "white", "fontsize": 9.5, "weight": "bold"}
_LABEL: _Style = {"color": "#7fd1b9", "fontsize": 9.5}
_FACT: _Style = {"color": "#9aa4b1", "fontsize": 8.5}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One sample of the sheet: what is written beside its pictures, and these."""

    key: str
    label: str
    facts: tuple[str, ...]
    pictures: tuple[UInt8[np.ndarray, "h w 3"], ...]


def write_contact_sheet(out: Path, target: Path, clips: int) -> None:
    """Write a PNG of `clips` clips spread evenly over the set; PackError where it is broken."""
    index = read_index(out)
    if not index.samples:
        raise PackError(f"{out}: holds no samples to show")
    title = f"{index.samples} samples, {index.seconds / 60:.1f} min of video"
    write_sheet(out, target, title, chosen_rows(out, index, clips))


def write_sheet(out: Path, target: Path, title: str, rows: Sequence[Row]) -> None:
    """Write a PNG of the rows, headed by the folder's name and a title."""
    figure = _draw(f"{printable(out.resolve().name, 60)}: {title}", rows)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # a character that the font has not is drawn as a box: labels are in all scripts
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        figure.savefig(buffer, format="png", dpi=100)
    target.write_bytes(buffer.getvalue())


def chosen_rows(out: Path, index: Index, clips: int) -> list[Row]:
    """`clips` rows spread evenly over all samples, in their order."""
    wanted = set(np.linspace(0, index.samples - 1, min(clips, index.samples)).round().astype(int))
    rows: list[Row] = []
    first = 0
    for record in index.shards:
        here = {number - first for number in wanted if 0 <= number - first < record.samples}
        first += record.samples
        if not here:
            continue
        try:
            with open_shard(shard_path(out, record)) as file:
                rows += [_row(s) for i, s in enumerate(read_samples(file)) if i in here]
        except (BadVideo, JsonError) as error:
            raise PackError(f"{record.name}: {error}; see `wmt data check {out}`") from error
    return rows


def _row(sample: RawSample) -> Row:
    if not sample.description:
        raise BadVideo("json", f"{sample.key}: missing")
    info = parse_model(SampleInfo, sample.description, f"{sample.key}.json")
    label = info.label or ", ".join(info.labels or ()) or "no label"
    pictures = moments(sample.video, info)
    return Row(key=sample.key, label=label, facts=_facts(info), pictures=pictures)


def moments(video: bytes, info: SampleInfo) -> tuple[UInt8[np.ndarray, "h w 3"], ...]:
    """Frames at the middles of six equal parts of the video, scaled to a thumbnail."""
    count = min(MOMENTS, info.frames)
    times = [info.duration * (i + 0.5) / count for i in range(count)]
    pictures = []
    with open_video(io.BytesIO(video)) as (container, stream):
        origin = float((stream.start_time or 0) * (stream.time_base or 0))
        half_frame = 0.51 / info.fps  # and a little, for rounded times
        for frame in container.decode(stream):
            time = frame.time - origin if frame.time is not None else math.inf
            while times and time + half_frame >= times[0]:
                times.pop(0)
                width, height = thumbnail(frame.width, frame.height)
                small = frame.reformat(width, height, "rgb24").to_ndarray()
                pictures.append(np.rot90(small, round(frame.rotation / 90)))
            if not times:
                break
    return tuple(pictures)


def thumbnail(width: int, height: int) -> tuple[int, int]:
    """Width and height of a picture that is made so small that it fits."""
    scale = min(THUMB_HEIGHT / height, THUMB_WIDTH / width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _draw(title: str, rows: Sequence[Row]) -> Figure:
    caption_width, gap, line = 330, 6, 128  # pixels
    width = caption_width + MOMENTS * (_widest(rows) + gap) + 24
    height = 64 + len(rows) * line + 16
    figure = Figure(figsize=(width / 100, height / 100), facecolor="#111418")
    FigureCanvasAgg(figure)
    _write(figure, (24 / width, 1 - 38 / height), title, _TITLE)
    for number, row in enumerate(rows):
        top = 64 + number * line
        _draw_caption(figure, row, (24 / width, 1 - (top + 22) / height))
        for column, picture in enumerate(row.pictures):
            high, wide = picture.shape[:2]
            left = caption_width + column * (_widest(rows) + gap)
            axes = figure.add_axes(
                (left / width, 1 - (top + high) / height, wide / width, high / height)
            )
            axes.imshow(picture, interpolation="nearest", aspect="auto")
            axes.set_axis_off()
    return figure


def _widest(rows: Sequence[Row]) -> int:
    return max((p.shape[1] for row in rows for p in row.pictures), default=THUMB_WIDTH)


def _draw_caption(figure: Figure, row: Row, place: tuple[float, float]) -> None:
    label = printable(row.label, LONGEST_LINE)
    height = figure.get_size_inches()[1] * 100
    x, y = place
    name = printable(row.key, LONGEST_LINE)
    _write(figure, (x, y), name, _NAME)
    _write(figure, (x, y - 22 / height), label, _LABEL)
    for number, line in enumerate(row.facts):
        shown = printable(line, LONGEST_LINE)
        _write(figure, (x, y - (44 + 17 * number) / height), shown, _FACT)


def _facts(info: SampleInfo) -> tuple[str, str]:
    return (
        f"{info.width}x{info.height}  {info.fps:.4g} frames/s",
        f"{info.duration:.4g} s, {info.frames} frames, {printable(info.codec, 12)}",
    )


def _write(figure: Figure, place: tuple[float, float], text: str, style: _Style) -> None:
    """One line, below the pictures if it is too wide; a name with dollar signs is no formula."""
    figure.text(*place, text, va="baseline", zorder=-1, parse_math=False, fontdict=style)

"""Writes the shipped pen strokes as labelled videos, a folder for each character.

Those of OUT/train and those of OUT/held_out have other drawers. So the assets `pen_strokes` were
made:

    python -m benchmarks.learning.pen_stroke_videos OUT
    wmt data pack OUT/train worldmodel_train/assets/pen_strokes/train
    wmt data pack OUT/held_out worldmodel_train/assets/pen_strokes/held_out
"""

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import av
import numpy as np
import typer
from jaxtyping import UInt8

from worldmodel_train.data.pen_strokes import pen_stroke_clips

FRAMES, SIZE, FPS = 16, 64, 8
CHARACTERS = 12
HELD_OUT_DRAWERS = 5


def main(out: Annotated[Path, typer.Argument(help="A folder to write into.")]) -> None:
    """Write 12 characters by 20 drawers, the last 5 of them held out."""
    strokes = pen_stroke_clips(FRAMES, SIZE, limit_characters=CHARACTERS)
    drawers = int(strokes.drawer.max()) + 1
    rows = zip(
        strokes.clips.numpy(), strokes.character.tolist(), strokes.drawer.tolist(), strict=True
    )
    for clip, character, drawer in rows:
        part = "held_out" if drawer >= drawers - HELD_OUT_DRAWERS else "train"
        folder = out / part / strokes.character_names[character].replace("/", "_")
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / f"drawer{drawer:02d}.mp4", clip)


def _write(path: Path, clip: UInt8[np.ndarray, "t h w c"]) -> None:
    """H.264 of high quality, each frame 1/8 s long."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "20"})
        stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "yuv420p"
        stream.codec_context.time_base = Fraction(1, FPS)
        for picture in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    typer.run(main)

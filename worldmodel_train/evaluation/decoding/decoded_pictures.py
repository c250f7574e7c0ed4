"""Clips beside what is decoded of their latents, and of predictions: strips and moving pictures."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import torch
from einops import repeat
from jaxtyping import Bool, UInt8
from PIL import Image
from torch import Tensor

from worldmodel_train.cartography.mask_overlay import token_roles
from worldmodel_train.cartography.tiling import enlarge, tile, tubelet_frames
from worldmodel_train.data.atomic_file import write_atomically
from worldmodel_train.evaluation.decoding.decoded_scores import ask
from worldmodel_train.evaluation.decoding.questions import Question
from worldmodel_train.evaluation.frozen import frozen
from worldmodel_train.evaluation.pictures import Album, save_pictures
from worldmodel_train.evaluation.task_result import Gallery, Picture
from worldmodel_train.protocols import LatentRenderer
from worldmodel_train.types import TokenGrid

_SMALL = 128  # pixels of a frame's height below which moving pictures are doubled
_HIDDEN = 128  # grey
_CONTEXT, _ASKED = 1, 2  # as `token_roles` has them


@dataclass(frozen=True, kw_only=True)
class DecodedAlbum:
    """Shows the chosen clips of an album as a decoder has them."""

    album: Album
    renderer: LatentRenderer
    fps: float
    """Of the clips."""

    def galleries(self, question: Question) -> Iterator[Gallery]:
        """Still strips, and the same clips moving."""
        stem = f"{self.album.folder}/{question.name.replace(' ', '_')}"
        chosen = self.album.chosen.tolist()
        titles = [self.album.title(index) for index in chosen]
        sheets = [self._panels(index, question) for index in chosen]
        strips = (tile(tubelet_frames(panels, grid)) for panels, grid in sheets)
        yield Gallery(
            title=f"Pixels of latents: {question.name}",
            shows="Truth, what is seen, decoded truth and decoded prediction",
            note="A column is a tubelet (its first frame). Rows from above: the clip; what of it "
            "the context encoder sees; decoded from the latents of the whole clip; what is seen, "
            "with the tokens that were asked for decoded from their predicted latents.",
            pictures=save_pictures(self.album.run_dir, stem, zip(titles, strips, strict=True)),
        )
        yield Gallery(
            title=f"Moving: {question.name}",
            shows="Truth, what is seen, decoded truth and decoded prediction, moving",
            note="The same clips and the same four pictures, from left to right.",
            pictures=tuple(
                self._save_moving(title, f"{stem}_{number:02d}.gif", panels)
                for number, (title, (panels, _)) in enumerate(zip(titles, sheets, strict=True))
            ),
        )

    def _panels(
        self, number: int, question: Question
    ) -> tuple[UInt8[Tensor, "4 t h w c"], TokenGrid]:
        """The clip, what is seen, the decoded truth, and what is seen with what is predicted."""
        renderer, held_out = self.renderer, self.album.held_out
        with frozen(renderer) as device:
            clip = held_out.clips[number : number + 1].to(device)
            model = renderer.latent_model(device)
            grid = model.token_grid(clip)
            everything = torch.arange(grid.num_tokens, device=device)[None]
            decoded = renderer.decode(model.encode(clip), everything, grid)
            index, latents = ask(
                model, clip, question, range(number, number + 1), held_out.length_index
            )
            answer = renderer.decode(latents, index, grid)
            filled = renderer.tubelets(clip).scatter(
                1, repeat(index, "b m -> b m p", p=answer.shape[2]), answer
            )
            masks = question.masks(grid, range(number, number + 1))[question.group]
            roles = token_roles(masks, grid)
            seen, shown = (
                _pixels_of(kept, clip, grid)
                for kept in (roles == _CONTEXT, (roles == _CONTEXT) | (roles == _ASKED))
            )
            hidden = torch.full_like(clip, _HIDDEN)
            panels = (
                clip,
                torch.where(seen, clip, hidden),
                renderer.clips(decoded, grid),
                torch.where(shown, renderer.clips(filled, grid), hidden),
            )
        return torch.cat(panels).cpu(), grid

    def _save_moving(self, title: str, file: str, panels: UInt8[Tensor, "4 t h w c"]) -> Picture:
        height, width = panels.shape[2:4]
        if height < _SMALL:
            panels = enlarge(panels, 2 * height, 2 * width)
        frames = [tile(panels[None, :, number]) for number in range(panels.shape[1])]
        write_gif(frames, self.album.run_dir / file, fps=self.fps)
        height, width = frames[0].shape[:2]
        return Picture(title=title, file=file, width=width, height=height)


def write_gif(frames: list[UInt8[Tensor, "h w 3"]], path: Path, *, fps: float) -> None:
    """Writes frames that follow each other for ever, at their own speed."""
    first, *others = (Image.fromarray(frame.numpy()) for frame in frames)
    content = BytesIO()
    first.save(content, "GIF", save_all=True, append_images=others, duration=1000 / fps, loop=0)
    write_atomically(path, content.getvalue())


def _pixels_of(
    kept: Bool[Tensor, "1 n"], clip: UInt8[Tensor, "1 t h w c"], grid: TokenGrid
) -> Bool[Tensor, "1 t h w 1"]:
    """True at the pixels of the kept tokens."""
    _, frames, height, width, _ = clip.shape
    return repeat(
        kept.to(clip.device).unflatten(1, grid),
        "b t h w -> b (t x) (h y) (w z) 1",
        x=frames // grid.frames, y=height // grid.height, z=width // grid.width,
    )  # fmt: skip

"""The pictures of a report, written as PNG files into the run directory."""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int, UInt8
from matplotlib.image import imsave
from torch import Tensor

from worldmodel_train.cartography.mask_overlay import mask_overlay
from worldmodel_train.cartography.pca_strip import pca_colors
from worldmodel_train.cartography.tiling import enlarge, tile, tubelet_frames
from worldmodel_train.config.printable import printable
from worldmodel_train.data.atomic_file import write_atomically
from worldmodel_train.data.fixed import FixedClips
from worldmodel_train.evaluation.frozen import Contestants, encode_in_batches, mean_latents
from worldmodel_train.evaluation.neighbours import nearest_clips, neighbour_sheet, other_videos
from worldmodel_train.evaluation.task_result import Gallery, Picture
from worldmodel_train.masks.draw import draw_masks
from worldmodel_train.protocols import LatentPredictor, MaskSampler

LONGEST_TITLE = 80  # characters


@dataclass(frozen=True, kw_only=True)
class Album:
    """Writes the pictures of one evaluation."""

    held_out: FixedClips
    run_dir: Path
    folder: str
    """Where the files go, below `run_dir`."""
    shown: int
    """Clips that are shown."""
    batch_size: int

    def masks(self, model: LatentPredictor, masks: Sequence[MaskSampler], *, seed: int) -> Gallery:
        """For each mask group the chosen clips with what is seen and what is predicted."""
        clips = self.held_out.clips[self.chosen]
        grid = model.token_grid(clips[:1])
        groups = draw_masks(masks, grid, seed=seed, step=0, samples=range(len(clips)))
        sheets = {
            f"mask group {number}": mask_overlay(clips, drawn, grid)
            for number, drawn in enumerate(groups, start=1)
        }
        return Gallery(
            title="What is seen and what is predicted",
            shows="Frames with context visible and targets tinted",
            note="A row is a clip, a column a tubelet (its first frame). Plain: the context that "
            "the encoder sees. Tinted: tokens whose latents the predictor must give. Dark: used by "
            "neither.",
            pictures=self._save("masks", sheets.items()),
        )

    def features(self, models: Contestants[LatentPredictor]) -> Gallery:
        """For each chosen clip its frames, above its features trained and untrained, as colours.

        One palette for each encoder over all chosen clips, so that equal colours mean alike.
        """
        clips = self.held_out.clips[self.chosen]
        grid = models.trained.token_grid(clips[:1])
        frames = tubelet_frames(clips, grid)
        rows = [frames]
        for _, model in models:
            latents = torch.cat(list(encode_in_batches(model, clips, self.batch_size)))
            rows.append(enlarge(pca_colors(latents, grid), *frames.shape[2:4]))
        sheets = [tile(sheet) for sheet in torch.stack(rows, dim=1)]
        titles = [self.title(index) for index in self.chosen.tolist()]
        return Gallery(
            title="Features as colours",
            shows="Frames above trained and untrained features as colours",
            note="Top: frames. Middle: patch features of the trained target encoder. Bottom: of "
            "the untrained one. The three main directions (PCA) over all clips shown are red, "
            "green and blue; colours compare within one encoder, not between the two.",
            pictures=self._save("features", zip(titles, sheets, strict=True)),
        )

    def neighbours(self, models: Contestants[LatentPredictor], *, most: int) -> Iterator[Gallery]:
        """For each encoder the chosen clips, each followed by those nearest to it, if any."""
        excluded = self._own_clips()
        k = min(most, int((~excluded).sum(dim=1).min()))
        if k == 0:
            return
        sheets = {}
        for title, model in models:
            features = mean_latents(model, self.held_out.clips, self.batch_size)
            nearest, _ = nearest_clips(features, self.chosen, excluded, k)
            sheets[title] = neighbour_sheet(self.held_out.clips, self.chosen, nearest)
        several = len(set(self.held_out.keys)) > 1
        yield Gallery(
            title="Nearest clips",
            shows="Query clips and their nearest clips",
            note="Left column: a held-out clip's middle frame. To its right: the clips with the "
            "most similar mean latent (cosine, centred), best first"
            + (", clips of the same video left out." if several else "."),
            pictures=self._save("neighbours", sheets.items()),
        )

    @property
    def chosen(self) -> Int[Tensor, "q"]:
        """The clips that are shown: of as many different videos as there are, evenly spread."""
        keys, wanted = self.held_out.keys, self.shown
        turn = [keys[:index].count(key) for index, key in enumerate(keys)]
        firsts = [index for index, count in enumerate(turn) if count == 0]
        if len(firsts) >= wanted:
            spread = torch.linspace(0, len(firsts) - 1, wanted).round().int().tolist()
            return torch.tensor([firsts[place] for place in spread])
        order = sorted(range(len(keys)), key=lambda index: (turn[index], index))
        return torch.tensor(sorted(order[:wanted]))

    def title(self, index: int) -> str:
        """The clip's label, or where it has none the key of its video."""
        label = self.held_out.labels[index]
        return printable(self.held_out.keys[index] if label is None else label, LONGEST_TITLE)

    def _own_clips(self) -> Tensor:
        """True for the clips of a query's own video; only for itself where there is one video."""
        if len(set(self.held_out.keys)) > 1:
            return other_videos(self.held_out.keys, self.chosen)
        return self.chosen[:, None] == torch.arange(len(self.held_out.keys))

    def _save(self, kind: str, sheets: Iterable[tuple[str, Tensor]]) -> tuple[Picture, ...]:
        return save_pictures(self.run_dir, f"{self.folder}/{kind}", sheets)


def save_pictures(
    run_dir: Path, stem: str, sheets: Iterable[tuple[str, UInt8[Tensor, "h w 3"]]]
) -> tuple[Picture, ...]:
    """The written pictures, titled; files are numbered, as titles may come from strangers' shards.

    `stem` is how their paths begin, below `run_dir`.
    """
    (run_dir / stem).parent.mkdir(parents=True, exist_ok=True)
    pictures = []
    for number, (title, image) in enumerate(sheets):
        file = f"{stem}_{number:02d}.png"
        content = io.BytesIO()
        imsave(content, image.cpu().numpy(), format="png")
        write_atomically(run_dir / file, content.getvalue())
        height, width = image.shape[:2]
        pictures.append(Picture(title=title, file=file, width=width, height=height))
    return tuple(pictures)

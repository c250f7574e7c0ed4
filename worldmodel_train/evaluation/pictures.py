"""The pictures of a report, written as PNG files into the run directory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from matplotlib.image import imsave
from torch import Tensor

from worldmodel_train.cartography.mask_overlay import mask_overlay
from worldmodel_train.cartography.pca_strip import pca_colors
from worldmodel_train.cartography.tiling import enlarge, tile, tubelet_frames
from worldmodel_train.config.printable import printable
from worldmodel_train.data.fixed import FixedClips
from worldmodel_train.evaluation.config import EvaluationConfig
from worldmodel_train.evaluation.frozen import Contestants, encode_in_batches, mean_latents
from worldmodel_train.evaluation.neighbours import nearest_clips, neighbour_sheet, other_videos
from worldmodel_train.evaluation.result import Picture
from worldmodel_train.masks.draw import draw_masks
from worldmodel_train.protocols import LatentPredictor, MaskSampler

PICTURE_DIR = "evaluation"
LONGEST_TITLE = 80  # characters


@dataclass(frozen=True, kw_only=True)
class Album:
    """Writes the pictures of one evaluation."""

    held_out: FixedClips
    config: EvaluationConfig
    run_dir: Path

    def masks(self, model: LatentPredictor, masks: Sequence[MaskSampler]) -> list[Picture]:
        """For each mask group the chosen clips with what is seen and what is predicted."""
        clips = self.held_out.clips[self.chosen]
        grid = model.token_grid(clips[:1])
        seed = self.config.mask_seeds[0]
        groups = draw_masks(masks, grid, seed=seed, step=0, samples=range(len(clips)))
        sheets = {
            f"mask group {number}": mask_overlay(clips, drawn, grid)
            for number, drawn in enumerate(groups, start=1)
        }
        return self._save("masks", sheets.items())

    def features(self, models: Contestants) -> list[Picture]:
        """For each chosen clip its frames, above its features trained and untrained, as colours.

        One palette for each encoder over all chosen clips, so that equal colours mean alike.
        """
        clips = self.held_out.clips[self.chosen]
        grid = models.trained.token_grid(clips[:1])
        frames = tubelet_frames(clips, grid)
        rows = [frames]
        for _, model in models:
            latents = torch.cat(list(encode_in_batches(model, clips, self.config.batch_size)))
            rows.append(enlarge(pca_colors(latents, grid), *frames.shape[2:4]))
        sheets = [tile(sheet) for sheet in torch.stack(rows, dim=1)]
        titles = [self._title(index) for index in self.chosen.tolist()]
        return self._save("features", zip(titles, sheets, strict=True))

    def neighbours(self, models: Contestants) -> list[Picture]:
        """For each encoder the chosen clips, each followed by the clips nearest to it."""
        excluded = self._own_clips()
        k = min(self.config.neighbours, int((~excluded).sum(dim=1).min()))
        if k == 0:
            return []
        sheets = {}
        for title, model in models:
            features = mean_latents(model, self.held_out.clips, self.config.batch_size)
            nearest, _ = nearest_clips(features, self.chosen, excluded, k)
            sheets[title] = neighbour_sheet(self.held_out.clips, self.chosen, nearest)
        return self._save("neighbours", sheets.items())

    @property
    def chosen(self) -> Int[Tensor, "q"]:
        """The clips that are shown: of as many different videos as there are, evenly spread."""
        keys, wanted = self.held_out.keys, self.config.picture_clips
        turn = [keys[:index].count(key) for index, key in enumerate(keys)]
        firsts = [index for index, count in enumerate(turn) if count == 0]
        if len(firsts) >= wanted:
            spread = torch.linspace(0, len(firsts) - 1, wanted).round().int().tolist()
            return torch.tensor([firsts[place] for place in spread])
        order = sorted(range(len(keys)), key=lambda index: (turn[index], index))
        return torch.tensor(sorted(order[:wanted]))

    def _title(self, index: int) -> str:
        """The clip's label, or where it has none the key of its video."""
        label = self.held_out.labels[index]
        return printable(self.held_out.keys[index] if label is None else label, LONGEST_TITLE)

    def _own_clips(self) -> Tensor:
        """True for the clips of a query's own video; only for itself where there is one video."""
        if len(set(self.held_out.keys)) > 1:
            return other_videos(self.held_out.keys, self.chosen)
        return self.chosen[:, None] == torch.arange(len(self.held_out.keys))

    def _save(self, kind: str, sheets: Iterable[tuple[str, Tensor]]) -> list[Picture]:
        """The written pictures; files are numbered, as titles may come from strangers' shards."""
        folder = self.run_dir / PICTURE_DIR
        folder.mkdir(parents=True, exist_ok=True)
        pictures = []
        for number, (title, image) in enumerate(sheets):
            file = folder / f"{kind}_{number:02d}.png"
            imsave(file, image.cpu().numpy())
            height, width = image.shape[:2]
            name = file.relative_to(self.run_dir).as_posix()
            pictures.append(Picture(kind=kind, title=title, file=name, width=width, height=height))
        return pictures

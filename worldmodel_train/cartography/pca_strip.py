"""Patch features as colours: their three main directions shown as red, green and blue."""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from worldmodel_train.cartography.tiling import enlarge, tile, tubelet_frames
from worldmodel_train.types import TokenGrid

_SHOWN_RANGE = (0.02, 0.98)  # quantiles of the scores that become black and full colour


@dataclass(frozen=True, kw_only=True)
class PcaPalette:
    """A map from latents to colours; keep one to colour a series of pictures alike."""

    mean: Float[Tensor, "d"]
    components: Float[Tensor, "d 3"]
    low: Float[Tensor, "3"]
    high: Float[Tensor, "3"]

    @classmethod
    def fit(cls, latents: Float[Tensor, "p d"]) -> "PcaPalette":
        """The palette of the three directions in which `latents` vary most.

        A direction's sign is arbitrary, so it is set to make the scores skewed to the bright side:
        that depends on the picture, not on the basis of the latents, and so lasts through training.
        Latents that are not finite are left out.
        """
        values = latents.detach().double()
        values = values[values.isfinite().all(dim=1)]
        if len(values) == 0:
            values = latents.new_zeros(1, latents.shape[1], dtype=torch.float64)
        mean = values.mean(dim=0)
        components = _principal_directions(values - mean)
        scores = (values - mean) @ components
        sign = torch.where(scores.pow(3).sum(dim=0) < 0, -1.0, 1.0).double()
        components, scores = components * sign, scores * sign
        low, high = (scores.quantile(share, dim=0) for share in _SHOWN_RANGE)
        return cls(mean=mean, components=components, low=low, high=high)

    def paint(self, latents: Float[Tensor, "*axes d"]) -> UInt8[Tensor, "*axes 3"]:
        """One colour for each latent; grey where nothing varies, black where not finite."""
        scores = (latents.detach().double() - self.mean) @ self.components
        width = self.high - self.low
        flat = width <= 1e-9 * (1 + self.mean.norm())
        shade = torch.where(flat, 0.5, (scores - self.low) / width.masked_fill(flat, 1))
        shade = torch.where(scores.isfinite(), shade, 0.0)
        return (shade.clamp(0, 1) * 255).round().to(torch.uint8)


def _principal_directions(centred: Float[Tensor, "p d"]) -> Float[Tensor, "d 3"]:
    """The three main directions as columns, zeros where the width is below three."""
    _, directions = torch.linalg.eigh(centred.T @ centred)  # in order of rising variance
    columns = directions.flip(1)[:, :3]
    return torch.nn.functional.pad(columns, (0, 3 - columns.shape[1]))


def pca_colors(
    latents: Float[Tensor, "b n d"], grid: TokenGrid, palette: PcaPalette | None = None
) -> UInt8[Tensor, "b t h w 3"]:
    """One colour for each token; without a palette one is fitted to all of these clips."""
    if palette is None:
        palette = PcaPalette.fit(rearrange(latents, "b n d -> (b n) d"))
    colors = palette.paint(latents)
    return rearrange(colors, "b (t h w) c -> b t h w c", t=grid.frames, h=grid.height, w=grid.width)


def feature_strip(
    clips: UInt8[Tensor, "b t h w 3"],
    latents: Float[Tensor, "b n d"],
    grid: TokenGrid,
    palette: PcaPalette | None = None,
) -> UInt8[Tensor, "height width 3"]:
    """One picture: for each clip a row of frames and below it a row of its feature colours."""
    frames = tubelet_frames(clips, grid)
    colors = enlarge(pca_colors(latents, grid, palette), frames.shape[2], frames.shape[3])
    rows = torch.stack([frames, colors.to(frames.device)], dim=1)
    return tile(rearrange(rows, "b row t h w c -> (b row) t h w c"))

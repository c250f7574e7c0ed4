"""A diffusion transformer of whole clips: noise in, a clip out.

DiT (arXiv 2212.09748) on tubelets of pixels, its attention factorized over space and time as in
Latte (arXiv 2401.03048), trained on straight paths by its estimate of the clean clip, as
`rectified_flow.py` says. One noise level for a clip; samples come from an EMA of the weights.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor, nn

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, Misfit, RecipeFacts
from worldmodel_train.models.blocks import BlocksConfig, init_linear
from worldmodel_train.models.cost import PlainCost
from worldmodel_train.models.flops import Flops
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.modulation import Modulation, close, modulated
from worldmodel_train.models.noise_level import LevelEmbed
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.sincos import SinCos3d
from worldmodel_train.models.space_time import SpaceTimeBlocks
from worldmodel_train.models.token_fit import grid_of, one_length, token_misfits
from worldmodel_train.models.tubelet_embed import CHANNELS
from worldmodel_train.protocols import EmaPair, ParameterGroup
from worldmodel_train.renderers.rectified_flow import (
    LogitNormal,
    from_noise,
    noised,
    velocity_loss,
)
from worldmodel_train.types import Clips, Losses, TokenGrid

PICTURE_SEED = 0
PICTURE_LEVEL = 0.7
"""Noise of the held-out clips that pictures show denoised."""


class Config(StrictConfig):
    """The network, how noisy it sees clips, and how it is sampled."""

    size: BlocksConfig
    """Blocks; each attends over space, then over time, and has an MLP."""
    patch: int = Field(gt=0)
    """Height and width of a tubelet in pixels."""
    tubelet: int = Field(gt=0)
    """Frames of a tubelet."""
    levels: LogitNormal = LogitNormal()
    """Noise levels to train on, between 0 (the clip) and 1 (noise)."""
    sample_steps: int = Field(default=32, gt=0)
    """Steps from noise to a clip; each runs the network once."""

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests."""
        size = BlocksConfig(width=48, depth=2, heads=3)
        return cls(size=size, patch=8, tubelet=2, sample_steps=4)

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Clips that are no whole tubelets, or of several lengths."""
        yield from token_misfits(self, facts.data, key="method")
        yield from one_length(facts.data)

    def preparation(self) -> None:
        """Clips are taken as they are read; noise is drawn where the loss is computed."""

    def cost(self, facts: RecipeFacts) -> PlainCost:
        """Parameters and operations of a clip; what memory a step takes is not said."""
        with torch.device("meta"):
            denoiser = Denoiser(self)
        parameters = sum(parameter.numel() for parameter in denoiser.parameters())
        forward = denoiser.flops(grid_of(self, facts.data.sources[0].clip))
        return PlainCost(
            parameters={"denoiser": parameters, "EMA of the denoiser": parameters},
            flops={"denoiser, forward + backward": forward.with_backward()},
        )

    def build(self, data: DataFacts | None = None) -> "VideoDiffusion":
        """A freshly initialised objective, drawn from torch's global generator; any data suits."""
        del data
        return VideoDiffusion(self)


class Denoiser(nn.Module):
    """Estimates clean tubelets from noised ones; its first estimate is zero."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width, pixels = config.size.width, CHANNELS * config.tubelet * config.patch**2
        self.position = SinCos3d()
        self.embed = Linear(pixels, width)
        self.level_embed = LevelEmbed(width)
        self.blocks = SpaceTimeBlocks(config.size)
        self.modulation = Modulation(width, 2)
        self.head = Linear(width, pixels)
        self.apply(init_linear)
        for module in self.modules():
            if isinstance(module, Modulation):
                close(module.proj)
        close(self.head)

    def forward(
        self, point: Float[Tensor, "b t h w p"], level: Float[Tensor, " b"]
    ) -> Float[Tensor, "b t h w p"]:
        """The clean tubelets, in fp32."""
        grid = TokenGrid(*point.shape[1:4])
        tokens = self.embed(point.flatten(0, 3)).unflatten(0, (len(point), grid.num_tokens))
        index = torch.arange(grid.num_tokens, device=point.device)[None]
        # The stream is fp32: the last steps of sampling refine what bf16 would round away.
        tokens = self.position.add(tokens.float(), index, grid)
        tokens = tokens.unflatten(1, (grid.frames, grid.height * grid.width))
        condition = self.level_embed(level)
        shift, scale = (vector[:, None, None] for vector in self.modulation(condition))
        tokens = modulated(self.blocks(tokens, condition), shift, scale)
        return self.head(tokens.flatten(0, 2)).float().view_as(point)

    def flops(self, grid: TokenGrid) -> Flops:
        """Operations of a clip's forward pass."""
        weights = {n: m.weight.numel() for n, m in self.named_modules() if isinstance(m, nn.Linear)}
        of_a_clip = sum(n for name, n in weights.items() if "modulation" in name or "level" in name)
        of_a_token = sum(weights.values()) - of_a_clip
        seen = grid.height * grid.width + grid.frames  # by each token, over space and over time
        width = self.head.in_features
        return Flops(
            linear=2.0 * (grid.num_tokens * of_a_token + of_a_clip),
            attention=4.0 * len(self.blocks) * grid.num_tokens * seen * width,
        )


class VideoDiffusion(nn.Module):
    """Learns to see clips through noise, and so to make them of noise."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.denoiser = Denoiser(config)
        self.ema_denoiser = copy.deepcopy(self.denoiser).requires_grad_(requires_grad=False)

    def training_losses(self, content: Clips) -> Losses:
        """The loss of clips with noise and levels drawn from torch's global generator."""
        clean = self.tubelets(content.pixels)
        level = self.config.levels.draw(len(clean), clean.device)
        noise = torch.randn_like(clean)
        estimate = self.denoiser(noised(clean, noise, level), level)
        clean_error = (estimate.detach() - clean).square().mean()
        return Losses(
            total=velocity_loss(estimate, clean, level), terms={"clean_error": clean_error}
        )

    def ema_pairs(self) -> Sequence[EmaPair]:
        """The denoiser that samples follows the one that learns."""
        return [EmaPair(student=self.denoiser, teacher=self.ema_denoiser)]

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """The denoiser, with and without weight decay."""
        return parameter_groups(denoiser=self.denoiser)

    def tubelets(self, pixels: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b _ _ _ p"]:
        """Clips cut into tubelets, pixels from -1 to 1."""
        return rearrange(
            pixels.float() / 127.5 - 1,
            "b (t x) (h y) (w z) c -> b t h w (x y z c)",
            x=self.config.tubelet, y=self.config.patch, z=self.config.patch,
        )  # fmt: skip

    def pixels(self, tubelets: Float[Tensor, "b _ _ _ p"]) -> UInt8[Tensor, "b t h w c"]:
        """Clips put together from tubelets."""
        clips = rearrange(
            tubelets,
            "b t h w (x y z c) -> b (t x) (h y) (w z) c",
            x=self.config.tubelet, y=self.config.patch, z=self.config.patch,
        )  # fmt: skip
        return ((clips + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)

    @torch.no_grad()
    def sample(self, noise: Float[Tensor, "b _ _ _ p"]) -> UInt8[Tensor, "b t h w c"]:
        """The clips that the EMA of the weights finds in `noise`."""
        return self.pixels(from_noise(self.ema_denoiser, noise, steps=self.config.sample_steps))

    def pictures(self, content: Clips) -> Mapping[str, UInt8[Tensor, "h w c"]]:
        """Clips made of noise, and held-out clips: as they are, noised, denoised at once."""
        clean = self.tubelets(content.pixels)
        # drawn on the CPU: the same noise on every device
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(PICTURE_SEED))
        noise = noise.to(clean.device)
        level = torch.full((len(clean),), PICTURE_LEVEL, device=clean.device)
        point = noised(clean, noise, level)
        seen = torch.stack((clean, point, self.ema_denoiser(point, level)), dim=1)
        return {
            "samples": _strips(self.sample(noise)),
            "denoised": _strips(self.pixels(seen.flatten(0, 1))),
        }


def _strips(clips: UInt8[Tensor, "b t h w c"]) -> UInt8[Tensor, "_ _ c"]:
    """A row for each clip, its frames side by side."""
    return rearrange(clips, "b t h w c -> (b h) (t w) c")

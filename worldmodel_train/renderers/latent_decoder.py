"""A decoder for people: pixels out of the latents of a frozen JEPA, and so out of its predictions.

A JEPA has no decoder and needs none; this one is trained after it, on latents that stay as they
are. It shows what they hold, and what it adds by itself: colours it guesses look like those it saw.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, UInt8
from pydantic import Field
from torch import Tensor, nn

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, Misfit, RecipeFacts
from worldmodel_train.models.blocks import Blocks, BlocksConfig, init_linear, rescale_residuals
from worldmodel_train.models.early_features import early_features
from worldmodel_train.models.frozen import WHOLE, FrozenPart, PartConfig
from worldmodel_train.models.gather import gather_tokens
from worldmodel_train.models.layer_norm import LastNorm
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.position import Places
from worldmodel_train.models.token_fit import one_length, token_misfits
from worldmodel_train.models.token_sets import lay_flat
from worldmodel_train.models.tubelet_pixels import Tubelet, cut_tubelets, join_tubelets
from worldmodel_train.models.vit import VisionTransformer
from worldmodel_train.protocols import EmaPair, LatentPredictor, ParameterGroup
from worldmodel_train.types import Clips, Losses, TokenGrid


class PerceptualConfig(StrictConfig):
    """How far features of the frozen encoder's first blocks weigh beside pixels."""

    weight: float = Field(default=0.0, ge=0)
    """Of their distance, beside that of pixels from 0 to 1; 0 computes none."""
    depth: int = Field(default=2, ge=0)
    """Blocks of the target encoder; with 0 tubelets are embedded only."""


class Config(StrictConfig):
    """A decoder of the latents of another run."""

    jepa: PartConfig
    """The run, whole: `part: .`, since its predictor's latents are decoded too."""
    size: BlocksConfig
    """Blocks from latents to pixels."""
    perceptual: PerceptualConfig = PerceptualConfig()
    """What is compared beside pixels."""
    least_kept: float = Field(default=0.25, gt=0, le=1)
    """A step decodes a random share of the tokens, from this to 1, without the others. Predicted
    tokens have no neighbours but each other; 1 always decodes whole clips."""

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests; it needs some tiny JEPA."""
        return cls(
            jepa=PartConfig.model_validate({"checkpoint": "runs/tiny", "part": WHOLE}),
            size=BlocksConfig(width=48, depth=2, heads=3),
            perceptual=PerceptualConfig(weight=0.1, depth=1),
        )

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Clips of several lengths; what suits the encoder is known once it is there."""
        yield from one_length(facts.data)

    def preparation(self) -> None:
        """Clips are taken as they are read."""

    def cost(self, facts: RecipeFacts) -> None:
        """Not counted: much of it is another run's encoder."""

    def build(self, data: DataFacts, *, jepa: FrozenPart) -> "LatentDecoder":
        """A freshly initialised decoder, drawn from torch's global generator.

        Raises:
            ValueError: The part predicts no latents of clips, or the clips are not whole tokens.
        """
        encoder = _target_encoder(jepa, torch.device("cpu"))
        for key, message in token_misfits(encoder.patch_embed, data, key=f"{jepa.origin}: encoder"):
            raise ValueError(f"{'.'.join(map(str, key))}: {message}")
        if self.perceptual.weight > 0 and self.perceptual.depth > len(encoder.blocks):
            raise ValueError(
                f"method.perceptual.depth={self.perceptual.depth}, but the encoder of "
                f"{jepa.origin} has {len(encoder.blocks)} blocks; use fewer"
            )
        return LatentDecoder(self, jepa)


@runtime_checkable
class _HasTargetEncoder(LatentPredictor, Protocol):
    """A `LatentPredictor` whose latents a vision transformer makes."""

    target_encoder: nn.Module


class Decoder(nn.Module):
    """Blocks over any tokens of a clip, which see each other, and a linear map to their pixels."""

    def __init__(self, size: BlocksConfig, encoder: VisionTransformer) -> None:
        super().__init__()
        self.places = Places(encoder.position, size.head_width)
        self.embed = Linear(encoder.width, size.width)
        self.blocks = Blocks(size)
        self.norm = LastNorm(size.width, eps=1e-6)
        self.head = Linear(size.width, encoder.patch_embed.proj.in_features)
        self.apply(init_linear)
        rescale_residuals(self.blocks)

    def forward(
        self, latents: Float[Tensor, "b k d"], index: Int[Tensor, "#b k"], grid: TokenGrid
    ) -> Float[Tensor, "b k p"]:
        """The tubelets, in fp32; mid-grey is where the linear map begins."""
        tokens = self.embed(lay_flat([latents])).unflatten(0, latents.shape[:2])
        tokens = self.places.add(tokens, index, grid)
        group = self.places.group(index, None, grid, len(latents))
        flat = self.norm(self.blocks(lay_flat([tokens]), [group]))
        return (0.5 + self.head(flat).float()).unflatten(0, latents.shape[:2])


class LatentDecoder(nn.Module):
    """Learns which pixels a latent stands for; the JEPA that it is of is held by reference."""

    def __init__(self, config: Config, jepa: FrozenPart) -> None:
        super().__init__()
        self.config = config
        self.jepa = jepa
        encoder = _target_encoder(jepa, torch.device("cpu"))
        self.size = Tubelet(tubelet=encoder.patch_embed.tubelet, patch=encoder.patch_embed.patch)
        self.decoder = Decoder(config.size, encoder)

    def training_losses(self, content: Clips) -> Losses:
        """The L1 distance of pixels, and of early features where they weigh anything."""
        clips = content.pixels
        grid = self.latent_model(clips.device).token_grid(clips)
        index = self._some_tokens(len(clips), grid, clips.device)
        truth = gather_tokens(self.tubelets(clips), index)
        decoded = self.decode(gather_tokens(self._latents(clips), index), index, grid)
        pixels = (decoded - truth).abs().mean()
        total, terms = pixels, {"pixels": pixels.detach()}
        if self.config.perceptual.weight > 0:
            features = self._feature_distance(decoded, truth, index, grid)
            total = total + self.config.perceptual.weight * features
            terms["features"] = features.detach()
        return Losses(total=total, terms=terms)

    def latent_model(self, device: torch.device) -> LatentPredictor:
        """The frozen JEPA."""
        model = self.jepa.on(device)
        assert isinstance(model, LatentPredictor), "looked at when it was built"
        return model

    def tubelets(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b n p"]:
        """The tubelets of whole clips, from 0 to 1."""
        return cut_tubelets(clips, self.size)

    def decode(
        self, latents: Float[Tensor, "b k d"], index: Int[Tensor, "#b k"], grid: TokenGrid
    ) -> Float[Tensor, "b k p"]:
        """The tubelets of these tokens, which see each other."""
        return self.decoder(latents, index, grid)

    def clips(
        self, tubelets: Float[Tensor, "b n p"], grid: TokenGrid
    ) -> UInt8[Tensor, "b t h w c"]:
        """Whole clips put together from tubelets."""
        return join_tubelets(tubelets, grid, self.size)

    def pictures(self, content: Clips) -> Mapping[str, UInt8[Tensor, "h w c"]]:
        """Held-out clips above what is decoded of their latents."""
        clips = content.pixels
        grid = self.latent_model(clips.device).token_grid(clips)
        index = torch.arange(grid.num_tokens, device=clips.device)[None]
        decoded = self.clips(self.decode(self._latents(clips), index, grid), grid)
        pairs = torch.stack((clips, decoded), dim=1).flatten(0, 1)
        return {"decoded": pairs.movedim(1, 2).flatten(2, 3).flatten(0, 1)}

    def ema_pairs(self) -> Sequence[EmaPair]:
        """Nothing follows."""
        return ()

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """The decoder, with and without weight decay."""
        return parameter_groups(decoder=self.decoder)

    def frozen_parts(self) -> dict[str, FrozenPart]:
        """The JEPA."""
        return {"jepa": self.jepa}

    def _latents(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b n d"]:
        with torch.no_grad():
            return self.latent_model(clips.device).encode(clips)

    def _some_tokens(self, rows: int, grid: TokenGrid, device: torch.device) -> Int[Tensor, "b k"]:
        """Ids of random tokens of each clip, as many for all, in order of place."""
        least = max(1, round(self.config.least_kept * grid.num_tokens))
        kept = int(torch.randint(least, grid.num_tokens + 1, ()))
        order = torch.rand(rows, grid.num_tokens, device=device).argsort(dim=1)
        return order[:, :kept].sort(dim=1).values

    def _feature_distance(
        self,
        decoded: Float[Tensor, "b k p"],
        truth: Float[Tensor, "b k p"],
        index: Int[Tensor, "b k"],
        grid: TokenGrid,
    ) -> Float[Tensor, ""]:
        """The mean distance of early features; its gradient goes to what was decoded alone."""
        encoder, depth = _target_encoder(self.jepa, decoded.device), self.config.perceptual.depth
        with torch.no_grad():
            wanted = early_features(encoder, truth, index, grid, depth=depth)
        return (early_features(encoder, decoded, index, grid, depth=depth) - wanted).abs().mean()


def _target_encoder(jepa: FrozenPart, device: torch.device) -> VisionTransformer:
    model = jepa.on(device)
    encoder = model.target_encoder if isinstance(model, _HasTargetEncoder) else None
    if not isinstance(encoder, VisionTransformer):
        raise ValueError(
            f"method.jepa: {jepa.origin} is a {type(model).__name__}, which predicts no latents of "
            f"a vision transformer; name a run of jepa/vjepa or jepa/ijepa, and part: {WHOLE}"
        )
    return encoder

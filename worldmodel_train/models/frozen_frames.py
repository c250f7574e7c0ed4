"""Latents of single frames, by an encoder that another run has trained."""

import torch
from einops import repeat
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from worldmodel_train.models.frozen import FrozenPart
from worldmodel_train.models.layer_norm import normalised
from worldmodel_train.models.vit import VisionTransformer
from worldmodel_train.types import TokenGrid


def clip_encoder(network: nn.Module, *, origin: str) -> VisionTransformer:
    """The network; raises ValueError where it is no encoder of clips."""
    if isinstance(network, VisionTransformer):
        return network
    raise ValueError(
        f"method.encoder: {origin} is a {type(network).__name__}, not an encoder of clips; use a "
        "part such as target_encoder"
    )


class FrozenFrames:
    """Frames to latents, each frame by itself; the encoder is held by reference."""

    def __init__(self, encoder: FrozenPart) -> None:
        """Raises ValueError where the part is no encoder."""
        network = clip_encoder(encoder.on(torch.device("cpu")), origin=encoder.origin)
        self.encoder = encoder
        self.width = network.width
        self.patch = network.config.patch
        self._tubelet = network.config.tubelet

    @torch.no_grad()
    def __call__(
        self, frames: UInt8[Tensor, "b t h w c"]
    ) -> tuple[Float[Tensor, "b t n d"], TokenGrid]:
        """Normalised latents of each frame, and the grid of one.

        A frame is repeated to fill a tubelet, as V-JEPA 2 does with images.
        """
        network = self.encoder.on(frames.device)
        assert isinstance(network, VisionTransformer), "it was one"
        clips = repeat(frames, "b t h w c -> (b t) k h w c", k=self._tubelet)
        (latents,) = network(clips)
        return normalised(latents).unflatten(0, frames.shape[:2]), network.token_grid(clips)

"""An encoder of a run, as `wmt data latents` asks it: clips in, tokens of one layer out."""

from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from worldmodel_train.cli.objectives import load_part
from worldmodel_train.models.frozen import FrozenPart, PartConfig
from worldmodel_train.models.vit import VisionTransformer
from worldmodel_train.recipe import Recipe, load_stored_recipe
from worldmodel_train.training.checkpoints.files import RECIPE
from worldmodel_train.training.checkpoints.folder import find_checkpoint


class LayerEncoder:
    """The tokens of one layer of a frozen encoder, on a GPU where there is one."""

    def __init__(self, part: FrozenPart, *, layer: int | None, fp32: bool) -> None:
        """Raises ValueError where the part is no encoder of clips, or has no such layer."""
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network = part.on(self._device)
        if not isinstance(network, VisionTransformer):
            raise ValueError(
                f"--part: {part.origin} is a {type(network).__name__}, not an encoder of clips; "
                "name one such as target_encoder"
            )
        if layer is not None and layer > len(network.blocks):
            raise ValueError(f"--layer {layer} of {len(network.blocks)}; take fewer")
        self.fingerprint = part.fingerprint
        self._network = network
        self._layer = layer
        self._in_bf16 = self._device.type == "cuda" and not fp32

    def shape(self, frames: int, height: int, width: int) -> tuple[tuple[int, int, int], int]:
        """The grid of tokens of such a clip, and the channels of a token."""
        clip = torch.empty(1, frames, height, width, 3, dtype=torch.uint8, device="meta")
        grid = self._network.token_grid(clip)
        return (grid.frames, grid.height, grid.width), self._network.width

    @torch.no_grad()
    def __call__(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b n d"]:
        """The tokens of whole clips."""
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._in_bf16):
            (tokens,) = self._network(clips.to(self._device), layer=self._layer)
        return tokens


def open_encoder(
    run: Path, *, part: str, layer: int | None, fp32: bool
) -> tuple[Recipe, LayerEncoder]:
    """The recipe of a run or checkpoint, and an encoder of it.

    Raises:
        ValueError: There is no such checkpoint, part or layer.
    """
    checkpoint = find_checkpoint(run, "RUN")
    frozen = load_part(PartConfig(checkpoint=checkpoint, part=part), key="RUN")
    recipe = load_stored_recipe(checkpoint / RECIPE)
    return recipe, LayerEncoder(frozen, layer=layer, fp32=fp32)

"""Tokens of a clip, and of a moment after it as a frozen predictor expects it."""

from typing import Protocol, runtime_checkable

import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from worldmodel_train.models.frozen import WHOLE, FrozenPart
from worldmodel_train.models.predictor import Predictor
from worldmodel_train.models.vit import VisionTransformer
from worldmodel_train.types import Masks, TokenGrid


@runtime_checkable
class _HasNetworks(Protocol):
    target_encoder: nn.Module
    predictor: nn.Module


class FutureTokens:
    """The networks of a JEPA that another run has trained, held by reference."""

    def __init__(self, jepa: FrozenPart, *, mask_token: int) -> None:
        """Raises ValueError where the part does not predict latents, or not by that mask token."""
        self.jepa = jepa
        self.encoder, predictor = self._networks(torch.device("cpu"))
        available = len(predictor.mask_tokens)
        if mask_token >= available:
            raise ValueError(
                f"method.mask_token={mask_token}, but {jepa.origin} has {available} mask tokens; "
                f"use at most {available - 1}"
            )
        self.mask_token = mask_token

    @torch.no_grad()
    def __call__(
        self, clips: UInt8[Tensor, "b t h w c"], ahead: Int[Tensor, "b"], *, furthest: int
    ) -> Float[Tensor, "b n d"]:
        """All tokens of each clip, then those of one predicted tubelet.

        `ahead` tubelets lie between it and the clip's end, `furthest` of them at most.
        """
        encoder, predictor = self._networks(clips.device)
        grid = encoder.token_grid(clips)
        longer = grid._replace(frames=grid.frames + furthest + 1)
        (seen,) = encoder(clips)
        masks = one_tubelet_ahead(grid, ahead)
        (foreseen,) = predictor([seen], [masks], longer, [self.mask_token])
        return torch.cat((seen, foreseen[:, 0].to(seen.dtype)), dim=1)

    def _networks(self, device: torch.device) -> tuple[VisionTransformer, Predictor]:
        model = self.jepa.on(device)
        if isinstance(model, _HasNetworks):
            encoder, predictor = model.target_encoder, model.predictor
            if isinstance(encoder, VisionTransformer) and isinstance(predictor, Predictor):
                return encoder, predictor
        raise ValueError(
            f"method.jepa: {self.jepa.origin} is a {type(model).__name__}, which predicts no "
            f"latents of clips; name a run of jepa/vjepa, and part: {WHOLE}"
        )


def one_tubelet_ahead(grid: TokenGrid, ahead: Int[Tensor, "b"]) -> Masks:
    """All tokens of each clip as context, and one tubelet after `ahead` others as its target.

    Ids are those of a longer clip; time counts first, so that the context has the same ones there.
    """
    area = grid.height * grid.width
    device = ahead.device
    first = grid.num_tokens + ahead * area
    return Masks(
        context_index=torch.arange(grid.num_tokens, device=device).expand(len(ahead), -1),
        target_index=rearrange(first, "b -> b 1 1") + torch.arange(area, device=device),
    )

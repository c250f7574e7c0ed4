"""A vision transformer with a class token, whose weight also asks which tokens matter."""

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

import torch
from einops import repeat
from jaxtyping import Float
from torch import Tensor, nn

from worldmodel_train.models.rope import Rotation
from worldmodel_train.models.token_sets import AttentionGroup, TokenSet, lay_flat, take_apart
from worldmodel_train.models.vit import EncoderConfig, Pictures, VisionTransformer


class ClassTokenTransformer(VisionTransformer):
    """The transformer of clips, whose tokens see and are seen by one that is of no place.

    Nobody is given its latent.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config)
        self.class_token = nn.Parameter(torch.empty(1, self.width))
        nn.init.trunc_normal_(self.class_token, std=0.02)

    def forward(
        self,
        pictures: Pictures,
        kept: Sequence[TokenSet] | None = None,
        *,
        layer: int | None = None,
        salient_after: int | None = None,
    ) -> list[Float[Tensor, "b _ _"]]:
        """As of a transformer without a class token, which is in every set beside its tokens.

        With `salient_after` so many blocks, the latents of all tokens and how salient each is,
        `b n 1`: the product of the class token's weight and its latent there, over sqrt(d). Here,
        since who asks from outside meets weights that may be cut up.
        """
        if salient_after is None:
            return [latents[:, 1:] for latents in super().forward(pictures, kept, layer=layer)]
        assert kept is None, "all tokens are looked at"
        early, *last = self.after(pictures, {salient_after, len(self.blocks)})
        with torch.autocast(early.device.type, enabled=False):
            saliency = early.float() @ self.class_token.float().T / math.sqrt(self.width)
        return [*(last or [early]), saliency]

    def after(self, pictures: Pictures, layers: Collection[int]) -> list[Float[Tensor, "b n d"]]:
        """The same."""
        return [latents[:, 1:] for latents in super().after(pictures, layers)]

    def _begin(
        self, pictures: Pictures, kept: Sequence[TokenSet] | None
    ) -> tuple[Float[Tensor, "n d"], list[AttentionGroup]]:
        embedded, groups = super()._begin(pictures, kept)
        sets = take_apart(embedded, [(group.rows, group.tokens) for group in groups])
        first = self.class_token.to(embedded.dtype)
        joined = [torch.cat((repeat(first, "1 d -> b 1 d", b=len(s)), s), dim=1) for s in sets]
        return lay_flat(joined), [_with_first(group) for group in groups]


def _with_first(group: AttentionGroup) -> AttentionGroup:
    """The group with a token before the others, which is not turned and always counts."""
    rotation, valid = group.rotation, group.valid
    if rotation is not None:
        first = torch.zeros_like(rotation.cos[:, :1])
        rotation = Rotation(
            torch.cat((first + 1, rotation.cos), dim=1), torch.cat((first, rotation.sin), dim=1)
        )
    if valid is not None:
        valid = torch.cat((torch.ones_like(valid[:, :1]), valid), dim=1)
    return replace(group, tokens=group.tokens + 1, rotation=rotation, valid=valid)

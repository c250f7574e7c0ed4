"""What methods have in common that compare two views of a clip, and predict nothing hidden."""

import copy
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from worldmodel_train.config import StrictConfig
from worldmodel_train.config.origins import KeyPath
from worldmodel_train.facts import Misfit, RecipeFacts
from worldmodel_train.masks.past_and_future import halves
from worldmodel_train.models.blocks import BlocksConfig
from worldmodel_train.models.layer_norm import normalised
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.projection_head import projection_head
from worldmodel_train.models.token_fit import encoder_misfits, not_a_multiple, one_length
from worldmodel_train.models.token_sets import TokenSet
from worldmodel_train.models.views.saccades import Saccades
from worldmodel_train.models.views.views import ViewConfig
from worldmodel_train.models.vit import EncoderConfig, VisionTransformer
from worldmodel_train.protocols import EmaPair, ParameterGroup
from worldmodel_train.types import ClipGroup, Clips, TokenGrid


class JointEmbeddingConfig(StrictConfig):
    """An encoder of clips, and the two views by which it learns."""

    encoder: EncoderConfig
    """Its latent of a clip is the mean over tokens; published ones have a class token for that."""
    views: tuple[ViewConfig, ViewConfig] = (ViewConfig(), ViewConfig())
    """How either view is drawn."""

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Clips or views that are no whole tokens, and clips of several lengths."""
        yield from encoder_misfits(self.encoder, facts.data)
        yield from one_length(facts.data)
        for number, view in enumerate(self.views):
            yield from view_misfits(view, self.encoder, ("method", "views", number))

    def preparation(self) -> None:
        """Clips are taken as they are read; views are drawn where the loss is computed."""


class BatchNormedConfig(JointEmbeddingConfig):
    """One whose heads norm by the micro-batch."""

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """As of any two views, and micro-batches of one clip."""
        yield from super().misfits(facts)
        yield from batch_norm_misfits(facts)


def batch_norm_misfits(facts: RecipeFacts) -> Iterator[Misfit]:
    """A micro-batch of one clip, which has no variance."""
    if facts.micro_batch < 2:
        message = "the method norms by the micro-batch, and one clip has no variance; use 2 or more"
        yield ("train", "micro_batch"), message


def view_misfits(
    view: ViewConfig | Saccades, encoder: EncoderConfig, key: KeyPath
) -> Iterator[Misfit]:
    """A view that is no whole tokens."""
    if view.size is not None and view.size % encoder.patch:
        yield (*key, "size"), not_a_multiple(view.size, encoder.patch, "method.encoder.patch")


def tiny_encoder() -> EncoderConfig:
    """One that trains in moments on a CPU, for tests."""
    return EncoderConfig(size=BlocksConfig(width=48, depth=2, heads=3), patch=8, tubelet=2)


class Halves(NamedTuple):
    """The latents of what energy compares."""

    context: Float[Tensor, "b d"]
    target: Float[Tensor, "b d"]


class SeesClips(nn.Module):
    """What probes and energies need of a model that has one encoder to be asked: an `Encoder`."""

    def seeing(self) -> VisionTransformer:
        """The encoder that is asked: the teacher's, where there is one."""
        raise NotImplementedError

    @torch.no_grad()
    def encode(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b n d"]:
        """What the encoder sees in whole clips as they are, before any head."""
        (latents,) = self.seeing()(clips)
        return latents.float()

    def token_grid(self, clips: UInt8[Tensor, "b t h w c"]) -> TokenGrid:
        """The grid of tokens that clips of this size become."""
        return self.seeing().token_grid(clips)

    def halves(
        self, context: Clips, target: Clips, *, context_encoder: VisionTransformer
    ) -> Halves:
        """Mean latents of the context's first half and the target's second, each seen alone."""
        masks = halves(self.token_grid(context.pixels), len(context.pixels))
        return Halves(
            mean_latent(context_encoder, context.pixels, masks.context_index),
            mean_latent(self.seeing(), target.pixels, masks.target_index[:, 0]),
        )


class EncoderWithHead(SeesClips):
    """An encoder and a head, for both views the same; nothing follows them."""

    def __init__(self, encoder: EncoderConfig, widths: Sequence[int]) -> None:
        super().__init__()
        self.encoder = encoder.build()
        self.projector = projection_head((encoder.blocks.width, *widths))

    def seeing(self) -> VisionTransformer:
        """The encoder."""
        return self.encoder

    def ema_pairs(self) -> Sequence[EmaPair]:
        """No copy follows."""
        return []

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Encoder and head, each with and without weight decay."""
        return parameter_groups(encoder=self.encoder, projector=self.projector)


class TaughtByACopy(SeesClips):
    """An encoder that sees parts of clips, and its slow copy that sees whole ones."""

    def __init__(self, encoder: EncoderConfig) -> None:
        super().__init__()
        self.encoder = encoder.build()
        self.teacher = copy.deepcopy(self.encoder).requires_grad_(requires_grad=False)

    def encode_context(self, group: ClipGroup) -> Sequence[Float[Tensor, "b _ d"]]:
        """What the encoder sees of the context of each mask group, and of nothing else."""
        sets = [TokenSet(mask.context_index, mask.context_valid) for mask in group.masks]
        return self.encoder(group.clips, sets)

    @torch.no_grad()
    def encode(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b n d"]:
        """What the slow copy sees in whole clips, each token normalised to mean 0, std 1."""
        return normalised(super().encode(clips))

    def seeing(self) -> VisionTransformer:
        """The slow copy."""
        return self.teacher

    def ema_pairs(self) -> Sequence[EmaPair]:
        """The copy follows the encoder."""
        return [EmaPair(student=self.encoder, teacher=self.teacher)]


def mean_latent(
    encoder: VisionTransformer,
    clips: UInt8[Tensor, "b t h w c"],
    index: Int[Tensor, "b k"] | None = None,
) -> Float[Tensor, "b d"]:
    """The mean over a clip's tokens, or over these of them, which then see each other alone."""
    kept = None if index is None else [TokenSet(index.to(clips.device))]
    (latents,) = encoder(clips, kept)
    return latents.mean(dim=1)

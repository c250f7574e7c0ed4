"""The names that a code base has for our tensors: a table for each kind of model."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from worldmodel_train.interop.links import Link, Rename, Reshape, links
from worldmodel_train.interop.objective_parts import Part, Parts, size_of
from worldmodel_train.interop.position_table import ClipSize, table
from worldmodel_train.models.multilevel_vit import LEVELS
from worldmodel_train.models.sincos import SinCos2d, SinCos3d


@dataclass(frozen=True, kw_only=True)
class Naming:
    """How one code base names the tensors of encoder and predictor."""

    encoder: Sequence[Rename] = ()
    predictor: Sequence[Rename] = ()
    encoder_table: str | None = None
    """Where the encoder's position table is stored."""
    predictor_table: str | None = None
    mask_token_axes: int = 0
    """Axes of length one between the number of a mask token and its channels."""
    separate_mask_tokens: str | None = None
    """Name of mask token `{j}`, where each is a tensor of its own."""
    convolution_has_time: bool = True
    row_axes: int = 0
    """Axes of length one before the channels of the rows of `modality`, each a tensor of its own
    there."""

    def links(self, part: Part, parts: Parts) -> list[Link]:
        """Where each tensor of a part is."""
        if part == "predictor":
            return self._predictor_links(parts)
        encoder = getattr(parts, part)
        return links(encoder, self.encoder, self._convolutions(parts) | self._rows)

    def table_name(self, part: Part) -> str | None:
        """Where the position table of a part is."""
        return self.predictor_table if part == "predictor" else self.encoder_table

    def tensors(self, part: Part, parts: Parts, clip: ClipSize) -> dict[str, Tensor]:
        """All tensors of a part as this code base stores them, for clips of one size."""
        module: nn.Module = getattr(parts, part)
        state = module.state_dict()
        tensors: dict[str, Tensor] = {}
        for link in self.links(part, parts):
            tensors |= link.split(state[link.ours])
        name, position = self.table_name(part), parts.target_encoder.position
        if name and isinstance(position, SinCos2d | SinCos3d):
            embed = parts.target_encoder.patch_embed
            grid = clip.grid(patch=embed.patch, tubelet=embed.tubelet)
            tensors[name] = table(position, grid, size_of(getattr(parts, part)).width)
        return tensors

    def _predictor_links(self, parts: Parts) -> list[Link]:
        count = len(parts.predictor.mask_tokens)
        renames = list(self.predictor)
        if self.separate_mask_tokens:
            names = tuple(self.separate_mask_tokens.format(j=j) for j in range(count))
            renames.append(Rename("mask_tokens", names))
        ones = (1,) * self.mask_token_axes
        tokens: dict[str, Reshape] = {"mask_tokens": lambda shape: (shape[0], *ones, shape[1])}
        return links(parts.predictor, renames, tokens | self._rows)

    @property
    def _rows(self) -> dict[str, Reshape]:
        return {"modality": lambda shape: (*(1,) * self.row_axes, *shape)}

    def _convolutions(self, parts: Parts) -> dict[str, Reshape]:
        embed = parts.target_encoder.patch_embed
        time = (embed.tubelet,) if self.convolution_has_time else ()
        return {
            "patch_embed.proj.weight": lambda shape: (shape[0], 3, *time, *(embed.patch,) * 2),
            "image_embed.proj.weight": lambda shape: (shape[0], 3, 1, *(embed.patch,) * 2),
        }


_META_PREDICTOR = (
    Rename("embed", ("predictor_embed",)),
    *(
        Rename(f"blocks.{{i}}.{module}", (f"predictor_blocks.{{i}}.{module}",))
        for module in ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2", "mlp.fc3")
    ),
    Rename("norm", ("predictor_norm",)),
    Rename("proj", ("predictor_proj",)),
)

META_MOTION = (
    *_META_PREDICTOR,
    Rename("action_embed", ("action_encoder",)),
    Rename("state_embed", ("state_encoder",)),
)
"""The predictor of V-JEPA 2-AC, which has no mask tokens."""

META_VIDEO = Naming(
    predictor=_META_PREDICTOR,
    encoder_table="pos_embed",
    predictor_table="predictor_pos_embed",
    mask_token_axes=1,
    separate_mask_tokens="mask_tokens.{j}",
)

_MODALITIES = Rename("modality", ("img_mod_embed", "video_mod_embed"))

META_MULTILEVEL = Naming(
    encoder=(
        *(Rename(f"level_norms.{level}", (f"norms_block.{level}",)) for level in range(LEVELS - 1)),
        Rename("norm", (f"norms_block.{LEVELS - 1}",)),
        Rename("image_embed.proj", ("patch_embed_img.proj",)),
        _MODALITIES,
    ),
    predictor=(
        *_META_PREDICTOR,
        *(Rename(f"embed.{linear}", (f"predictor_embed.{linear}",)) for linear in (0, 2)),
        Rename("context_proj", ("predictor_proj_context",)),
        _MODALITIES,
    ),
    mask_token_axes=1,
    separate_mask_tokens="mask_tokens.{j}",
    row_axes=1,
)
"""V-JEPA 2.1."""

META_IMAGE = Naming(
    predictor=(*_META_PREDICTOR, Rename("mask_tokens", ("mask_token",))),
    encoder_table="pos_embed",
    predictor_table="predictor_pos_embed",
    mask_token_axes=1,
    convolution_has_time=False,
)

_VJEPA2_BLOCKS = (
    *(
        Rename(f"blocks.{{i}}.{module}", (f"layer.{{i}}.{module}",))
        for module in ("norm1", "norm2", "mlp.fc1", "mlp.fc2")
    ),
    Rename(
        "blocks.{i}.attn.qkv",
        tuple(f"layer.{{i}}.attention.{part}" for part in ("query", "key", "value")),
    ),
    Rename("blocks.{i}.attn.proj", ("layer.{i}.attention.proj",)),
    Rename("norm", ("layernorm",)),
)

HUGGINGFACE_VJEPA2 = Naming(
    encoder=(*_VJEPA2_BLOCKS, Rename("patch_embed.proj", ("embeddings.patch_embeddings.proj",))),
    predictor=(
        *_VJEPA2_BLOCKS,
        Rename("embed", ("embeddings.predictor_embeddings",)),
        Rename("mask_tokens", ("embeddings.mask_tokens",)),
    ),
    mask_token_axes=2,
)

_QKV = "encoder.layer.{i}.attention.attention"

_VIT = (
    Rename("patch_embed.proj", ("embeddings.patch_embeddings.projection",)),
    Rename("blocks.{i}.norm1", ("encoder.layer.{i}.layernorm_before",)),
    Rename("blocks.{i}.norm2", ("encoder.layer.{i}.layernorm_after",)),
    Rename("blocks.{i}.attn.qkv", (f"{_QKV}.query", f"{_QKV}.key", f"{_QKV}.value")),
    Rename("blocks.{i}.attn.proj", ("encoder.layer.{i}.attention.output.dense",)),
    Rename("blocks.{i}.mlp.fc1", ("encoder.layer.{i}.intermediate.dense",)),
    Rename("blocks.{i}.mlp.fc2", ("encoder.layer.{i}.output.dense",)),
    Rename("norm", ("layernorm",)),
)

HUGGINGFACE_IJEPA = Naming(
    encoder=_VIT,
    encoder_table="embeddings.position_embeddings",
    convolution_has_time=False,
)


def _videomae(query_bias: str, value_bias: str) -> Naming:
    """Keys have no bias: added to all scores of a query alike, it would change no softmax."""
    biases = (f"{_QKV}.{query_bias}", None, f"{_QKV}.{value_bias}")
    return Naming(encoder=(*_VIT, Rename("blocks.{i}.attn.qkv.bias", biases)))


HUGGINGFACE_VIDEOMAE = _videomae("q_bias", "v_bias")
HUGGINGFACE_VIDEOMAE_MODULES = _videomae("query.bias", "value.bias")
"""As transformers 5 has it in memory; what it saves has the older names, as released files do."""

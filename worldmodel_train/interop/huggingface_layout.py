"""Where in `model.safetensors` the parts of a model of transformers are, and under which names."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from worldmodel_train.interop.naming import (
    HUGGINGFACE_IJEPA,
    HUGGINGFACE_VIDEOMAE,
    HUGGINGFACE_VIDEOMAE_MODULES,
    HUGGINGFACE_VJEPA2,
    Naming,
)
from worldmodel_train.interop.objective_parts import Part


@dataclass(frozen=True, kw_only=True)
class HuggingFaceLayout:
    """The tensors of one class of transformers."""

    naming: Naming
    prefixes: Mapping[Part, str]
    """Where the names of each part begin; an empty one where the model is the encoder itself."""
    heads: tuple[str, ...] = ()
    """Where the names of what is known and not needed begin."""

    def unneeded(self, names: Collection[str]) -> tuple[str, ...]:
        """What of it there is."""
        return tuple(
            head.rstrip(".") for head in self.heads if any(name.startswith(head) for name in names)
        )


_LAYOUTS: Mapping[str, HuggingFaceLayout] = {
    "vjepa2": HuggingFaceLayout(
        naming=HUGGINGFACE_VJEPA2,
        prefixes={"target_encoder": "encoder.", "predictor": "predictor."},
    ),
    "ijepa": HuggingFaceLayout(naming=HUGGINGFACE_IJEPA, prefixes={"target_encoder": ""}),
    "videomae": HuggingFaceLayout(naming=HUGGINGFACE_VIDEOMAE, prefixes={"target_encoder": ""}),
}
_VIDEOMAE = "videomae."
# of VideoMAEForPreTraining, then of VideoMAEForVideoClassification
_VIDEOMAE_HEADS = ("encoder_to_decoder.", "mask_token", "decoder.", "fc_norm.", "classifier.")


def layout_of(model_type: str, names: Collection[str] = ()) -> HuggingFaceLayout:
    """The layout of a file of these names, or the one to write.

    A VideoMAE is the encoder itself, or has it beside a decoder or a classifier.
    """
    layout = _LAYOUTS[model_type]
    if model_type != "videomae":
        return layout
    if any(name.startswith(_VIDEOMAE) for name in names):
        layout = replace(layout, prefixes={"target_encoder": _VIDEOMAE}, heads=_VIDEOMAE_HEADS)
    if any(name.endswith(".attention.query.bias") for name in names):
        layout = replace(layout, naming=HUGGINGFACE_VIDEOMAE_MODULES)
    return layout

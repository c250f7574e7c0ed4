"""A plain training step with the VJEPA2 of Hugging Face transformers.

transformers has the modules and no pretraining: its forward pass encodes all tokens, and drops the
hidden ones afterwards. Pretraining drops them first, so this calls the model's own modules in that
order, as a user would. Clips are normalised floats before the clock starts.
"""

import copy
import json
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.training_step import Setting, policy_of
from worldmodel_train.interop import ClipSize, export_checkpoint
from worldmodel_train.jepa.vjepa import VJepa
from worldmodel_train.models.tubelet_embed import IMAGENET_MEAN, IMAGENET_STD
from worldmodel_train.types import ClipGroup

MOMENTUM = 0.999
LEARNING_RATE = 1e-4


class HuggingFaceStep:
    """VJEPA2Model, L1 on normalised targets, AdamW as it comes, EMA in a loop."""

    def __init__(self, setting: Setting, objective: VJepa, *, compiled: bool) -> None:
        model = build_model(objective, setting.groups[0]).to(setting.device).train()
        if policy_of(setting.recipe) != "none":
            model.gradient_checkpointing_enable()  # it has no selective kind
        self._setting = setting
        self._encoder, self._predictor = model.encoder, model.predictor
        self._teacher = copy.deepcopy(model.encoder).eval().requires_grad_(requires_grad=False)
        self._inputs = [(normalised(group), _masks(group)) for group in setting.groups]
        self._optimizer = torch.optim.AdamW(self.trained(), lr=LEARNING_RATE)
        self._target, self._encode, self._predict = _target, _encode_kept, _predict
        if compiled:
            self._target = torch.compile(_target)
            self._encode = torch.compile(_encode_kept)
            self._predict = torch.compile(_predict)

    def forward(self, batch: int) -> Float[Tensor, ""]:
        """The loss of a batch, with its graph."""
        from transformers.models.vjepa2.modeling_vjepa2 import apply_masks

        pixels, masks = self._inputs[batch]
        losses = []
        with self._setting.autocast(batch):
            with torch.no_grad():
                seen = self._target(self._teacher, pixels)
            for context, target in masks:
                kept = self._encode(self._encoder, pixels, context)
                predicted = self._predict(self._predictor, kept, context, target)
                losses.append(functional.l1_loss(predicted.float(), apply_masks(seen, [target])))
        return torch.stack(losses).mean()

    def trained(self) -> Iterator[nn.Parameter]:
        """Every parameter that is trained."""
        yield from self._encoder.parameters()
        yield from self._predictor.parameters()

    def update(self) -> None:
        """The optimizer's step, gradients gone, the teacher moved."""
        self._optimizer.step()
        self._optimizer.zero_grad()
        with torch.no_grad():
            pairs = zip(self._teacher.parameters(), self._encoder.parameters(), strict=True)
            for teacher, student in pairs:
                teacher.mul_(MOMENTUM).add_(student, alpha=1.0 - MOMENTUM)


def build_model(objective: VJepa, group: ClipGroup) -> Any:  # noqa: ANN401 - an optional package
    """A VJEPA2Model with the objective's weights."""
    if find_spec("transformers") is None:
        raise ValueError("transformers is not installed; pip install transformers, or --no-peers")
    from transformers import VJEPA2Config, VJEPA2Model

    clip = ClipSize(*group.clips.shape[1:4])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "exported"
        export_checkpoint(objective, path, layout="huggingface", clip=clip)
        config = json.loads((path / "config.json").read_text())
        model = VJEPA2Model(VJEPA2Config(**config))
        model.load_state_dict(load_file(path / "model.safetensors"), strict=True)
    return model


def normalised(group: ClipGroup) -> Float[Tensor, "b t c h w"]:
    """The clips as transformers takes them."""
    pixels = group.clips.float() / 255.0
    mean, std = (torch.tensor(one, device=pixels.device) for one in (IMAGENET_MEAN, IMAGENET_STD))
    return ((pixels - mean) / std).movedim(-1, 2).contiguous()


def _masks(group: ClipGroup) -> list[tuple[Int[Tensor, "b k"], Int[Tensor, "b m"]]]:
    return [(masks.context_index, masks.target_index.flatten(1)) for masks in group.masks]


def _target(encoder: Any, pixels: Tensor) -> Tensor:  # noqa: ANN401
    seen = encoder(pixels).last_hidden_state.float()
    return functional.layer_norm(seen, seen.shape[-1:])


def _encode_kept(encoder: Any, pixels: Tensor, context: Tensor) -> Tensor:  # noqa: ANN401
    from transformers.models.vjepa2.modeling_vjepa2 import apply_masks

    tokens = apply_masks(encoder.embeddings(pixels), [context])
    for layer in encoder.layer:
        tokens = layer(tokens, context)[0]
    return encoder.layernorm(tokens)


def _predict(predictor: Any, kept: Tensor, context: Tensor, target: Tensor) -> Tensor:  # noqa: ANN401
    """What the predictor's own forward does after it has gathered the context."""
    tokens, places = predictor.embeddings(kept, [context], [target])
    order = torch.argsort(places, dim=1)
    tokens, places = predictor.sort_tokens(tokens, places, order)
    for layer in predictor.layer:
        tokens = layer(tokens, places)[0]
    tokens = predictor.unsort_tokens(predictor.layernorm(tokens), order)
    return predictor.proj(tokens[:, kept.shape[1] :])

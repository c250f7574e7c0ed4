"""The training step of the original V-JEPA 2 code, in a checkout that the user has.

Its `main` holds the step as a closure, so the calls are repeated here in its order, on its own
encoder, predictor, wrappers, mask selection and optimizer. Its loader normalises clips; here that
happens before the clock starts.
"""

import copy
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.peers.huggingface import LEARNING_RATE, MOMENTUM, normalised
from benchmarks.training_step import Setting, policy_of
from worldmodel_train.interop import ClipSize, export_checkpoint
from worldmodel_train.interop.objective_parts import Size, parts_of, size_of
from worldmodel_train.jepa.vjepa import VJepa
from worldmodel_train.types import ClipGroup


class ReferenceStep:
    """facebookresearch/vjepa2: app/vjepa/train.py, without DDP."""

    def __init__(self, setting: Setting, objective: VJepa, path: Path) -> None:
        self._setting = setting
        with checkout(path):
            self._apply_masks = import_module("src.masks.utils").apply_masks
            encoder, predictor = _build(setting, objective)
            init_opt = import_module("app.vjepa.utils").init_opt
        teacher = copy.deepcopy(encoder).requires_grad_(requires_grad=False)
        self._encoder, self._predictor, self._teacher = (
            module.to(setting.device) for module in (encoder, predictor, teacher)
        )
        self._inputs = [_inputs(group) for group in setting.groups]
        scaled = setting.recipe.train.precision == "bf16" and setting.device.type == "cuda"
        # released: gradients are scaled under bf16 as well
        self._scaler = torch.amp.GradScaler("cuda") if scaled else None
        self._optimizer, _, self._schedule, self._decay = init_opt(
            is_anneal=False, encoder=self._encoder, predictor=self._predictor,
            iterations_per_epoch=300, start_lr=LEARNING_RATE, ref_lr=LEARNING_RATE, warmup=40,
            num_epochs=10, wd=0.04, final_wd=0.04, final_lr=LEARNING_RATE,
        )  # fmt: skip

    def forward(self, batch: int) -> Float[Tensor, ""]:
        """The loss of a batch, with its graph."""
        clips, context, target = self._inputs[batch]
        self._schedule.step()
        self._decay.step()
        with self._setting.autocast(batch):
            with torch.no_grad():
                seen = [functional.layer_norm(h, h.shape[-1:]) for h in self._teacher(clips)]
            predicted = self._predictor(self._encoder(clips, context), context, target)
            loss, count = torch.zeros((), device=self._setting.device), 0
            for one, latents, places in zip(predicted, seen, target, strict=True):
                for z, h in zip(one, self._apply_masks(latents, places, concat=False), strict=True):
                    loss = loss + torch.mean(torch.abs(z - h) ** 1.0) / 1.0
                    count += 1
        loss = loss / count
        timed = batch < len(self._setting.batches)
        return self._scaler.scale(loss) if self._scaler is not None and timed else loss

    def trained(self) -> Iterator[nn.Parameter]:
        """Every parameter that is trained."""
        yield from self._encoder.parameters()
        yield from self._predictor.parameters()

    def update(self) -> None:
        """The optimizer's step, gradients gone, the teacher moved."""
        if self._scaler is None:
            self._optimizer.step()
        else:
            self._scaler.unscale_(self._optimizer)
            self._scaler.step(self._optimizer)
            self._scaler.update()
        self._optimizer.zero_grad()
        with torch.no_grad():
            teachers: list[Tensor] = list(self._teacher.parameters())
            students: list[Tensor] = list(self._encoder.parameters())
            torch._foreach_mul_(teachers, MOMENTUM)  # pyright: ignore[reportPrivateImportUsage]
            torch._foreach_add_(teachers, students, alpha=1 - MOMENTUM)  # pyright: ignore[reportPrivateImportUsage]


@contextmanager
def checkout(path: Path) -> Iterator[None]:
    """Makes `src` and `app` of the checkout importable; what was imported stays.

    Its blocks import `drop_path` from timm, which only a model with stochastic depth calls, and
    V-JEPA 2 has none; where timm is not installed a stand-in refuses to be called.
    """
    if not (path / "src/models/vision_transformer.py").is_file():
        raise ValueError(
            f"--reference={path} has no src/models/vision_transformer.py; give a checkout of "
            "https://github.com/facebookresearch/vjepa2"
        )
    added: dict[str, ModuleType] = {} if find_spec("timm") else _stand_in_for_timm()
    sys.path.insert(0, str(path.resolve()))
    sys.modules.update(added)
    try:
        yield
    finally:
        sys.path.remove(str(path.resolve()))
        for name in added:
            del sys.modules[name]


def _stand_in_for_timm() -> dict[str, ModuleType]:
    def drop_path(*_: object) -> None:
        raise AssertionError("stochastic depth needs timm")

    names = ("timm", "timm.models", "timm.models.layers")
    modules = {name: ModuleType(name) for name in names}
    vars(modules["timm.models.layers"])["drop_path"] = drop_path
    return modules


def _build(setting: Setting, objective: VJepa) -> tuple[nn.Module, nn.Module]:
    """Its encoder and predictor in the wrappers of its trainer, with the objective's weights."""
    clip = setting.groups[0].clips
    parts = parts_of(objective)
    encoder_size, size = size_of(parts.context_encoder), size_of(parts.predictor)
    shared = {
        "img_size": (clip.shape[2], clip.shape[3]),
        "patch_size": parts.context_encoder.patch_embed.patch,
        "num_frames": clip.shape[1],
        "tubelet_size": parts.context_encoder.patch_embed.tubelet,
        "use_rope": True,
        "use_sdpa": True,
        "norm_layer": _layer_norm,
        "use_activation_checkpointing": policy_of(setting.recipe) != "none",
    }
    wrappers = import_module("src.utils.wrappers")
    vision = import_module("src.models.vision_transformer").VisionTransformer
    filling = import_module("src.models.predictor").VisionTransformerPredictor
    encoder = vision(embed_dim=encoder_size.width, **_depth(encoder_size), **shared)
    predictor = filling(
        embed_dim=encoder_size.width, predictor_embed_dim=size.width, **_depth(size),
        use_mask_tokens=True, num_mask_tokens=len(parts.predictor.mask_tokens), **shared,
    )  # fmt: skip
    wrapped = wrappers.MultiSeqWrapper(encoder), wrappers.PredictorMultiSeqWrapper(predictor)
    _load(wrapped, objective, ClipSize(*clip.shape[1:4]))
    return wrapped


def _depth(size: Size) -> dict[str, Any]:
    return {
        "depth": size.depth,
        "num_heads": size.heads,
        "mlp_ratio": size.mlp_width / size.width,
    }


def _layer_norm(width: int) -> nn.LayerNorm:
    return nn.LayerNorm(width, eps=1e-6)


def _load(modules: tuple[nn.Module, nn.Module], objective: VJepa, clip: ClipSize) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pt"
        export_checkpoint(objective, path, layout="meta", clip=clip)
        content = torch.load(path, weights_only=True)
    for module, key in zip(modules, ("encoder", "predictor"), strict=True):
        state = {name.removeprefix("module."): one for name, one in content[key].items()}
        module.load_state_dict(state, strict=True)


def _inputs(group: ClipGroup) -> tuple[list[Tensor], list[list[Tensor]], list[list[Tensor]]]:
    """Clips of each length, and for each its masks, as its loader gives them."""
    context = [masks.context_index for masks in group.masks]
    target = [masks.target_index.flatten(1) for masks in group.masks]
    return [normalised(group).transpose(1, 2).contiguous()], [context], [target]

"""A training step in three calls that can be timed, and ours."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worldmodel_train.batch import Batch, Origin
from worldmodel_train.jepa.vjepa import VJepa
from worldmodel_train.masks.draw import draw_masks
from worldmodel_train.models.checkpointing import ActivationCheckpointing
from worldmodel_train.models.flops import MaskTokens, model_flops
from worldmodel_train.models.rope import Rope3d, Rope3dVJepa2
from worldmodel_train.recipe import Recipe
from worldmodel_train.training.activation_checkpointing import set_activation_checkpointing
from worldmodel_train.training.compilation import compile_regions
from worldmodel_train.training.layouts.in_place import InPlace
from worldmodel_train.training.optim import build_optimizer, set_schedules
from worldmodel_train.training.randomness import seed_weights
from worldmodel_train.types import ClipGroup, MaskedClips, TokenGrid

NOISE = 0.05
"""Spread of what is added to all weights, so that biases, norms and positions count."""


@runtime_checkable
class TrainingStep(Protocol):
    """A model, its optimizer and its teacher; batches are known by their number."""

    def forward(self, batch: int) -> Float[Tensor, ""]:
        """The loss of a batch, with its graph."""
        ...

    def trained(self) -> Iterator[nn.Parameter]:
        """Every parameter that is trained."""
        ...

    def update(self) -> None:
        """The optimizer's step, gradients gone, the teacher moved."""
        ...


def run_step(step: TrainingStep, num_batches: int) -> None:
    """A whole step on each batch."""
    for batch in range(num_batches):
        step.forward(batch).backward()
        step.update()


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all contestants share."""

    recipe: Recipe
    device: torch.device
    batches: Sequence[MaskedClips]
    probe: MaskedClips
    """A small batch that losses are compared on, in fp32; its number follows those of `batches`."""

    @property
    def groups(self) -> list[ClipGroup]:
        """The clips of each batch, those of the probe last."""
        return [batch.groups[0] for batch in (*self.batches, self.probe)]

    def autocast(self, batch: int) -> torch.autocast:
        """The recipe's precision, or fp32 for the probe."""
        in_bf16 = self.recipe.train.precision == "bf16" and batch < len(self.batches)
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=in_bf16)

    @property
    def clips(self) -> int:
        """Clips over all batches."""
        return sum(batch.num_samples for batch in self.batches)

    @property
    def flops(self) -> float:
        """Operations of a step on each batch that MFU counts, as training's does."""
        return sum(_flops(self.recipe, batch) for batch in self.batches)


def comparable(recipe: Recipe) -> Recipe:
    """The recipe with what the peers know: the released rotation, and one mask token for all.

    Both cost what ours cost: the rotation has other angles, the mask tokens other values.
    """
    method = recipe.method
    if method.name != "jepa/vjepa" or not isinstance(
        method.encoder.position, Rope3d | Rope3dVJepa2
    ):
        raise ValueError(
            f"{recipe.name} is no V-JEPA 2 (method jepa/vjepa with rotary positions), which is all "
            "that the peers know; use --no-peers or a vjepa2 recipe"
        )
    if any(mask.truncate == "none" for mask in method.masks if mask.name == "multiblock3d"):
        raise ValueError("masks: truncate=none pads, which the peers cannot; use --no-peers")
    encoder = method.encoder.model_copy(update={"position": Rope3dVJepa2()})
    predictor = method.predictor.model_copy(update={"mask_tokens": 1})
    changes = {"encoder": encoder, "predictor": predictor, "mask_token": "shared"}
    return recipe.model_copy(update={"method": method.model_copy(update=changes)})


def draw_setting(recipe: Recipe, device: torch.device, *, num_batches: int) -> Setting:
    """Micro-batches of noise as clips, of the first source's length, with the recipe's masks."""
    size = recipe.train.micro_batch
    drawn = [_draw_batch(recipe, step, size).to(device) for step in range(num_batches)]
    probe = _draw_batch(recipe, num_batches, min(2, size)).to(device)
    return Setting(
        recipe=recipe,
        device=device,
        batches=[batch.content for batch in drawn],
        probe=probe.content,
    )


def noisy_objective(recipe: Recipe) -> VJepa:
    """The recipe's objective with weights none of which is zero or one; teacher equals student."""
    seed_weights(recipe.train.seed)
    objective = recipe.method.build()
    assert isinstance(objective, VJepa)
    generator = torch.Generator().manual_seed(recipe.train.seed)
    with torch.no_grad():
        for parameter in [
            *objective.context_encoder.parameters(), *objective.predictor.parameters()
        ]:  # fmt: skip
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=NOISE)
    objective.target_encoder.load_state_dict(objective.context_encoder.state_dict())
    return objective


class OurStep:
    """The objective, optimizer, schedules and teacher that `wmt pretrain` runs in one process."""

    def __init__(self, setting: Setting, objective: VJepa, *, compiled: bool) -> None:
        self._setting = setting
        self._objective = objective.to(setting.device)
        set_activation_checkpointing(objective, policy_of(setting.recipe))
        if compiled:
            compile_regions(objective)
        optim = setting.recipe.optim
        self._optimizer = build_optimizer(objective.parameter_groups(), optim)
        self._layout = InPlace(objective, objective.ema_pairs(), self._optimizer)
        self._steps = 0

    def forward(self, batch: int) -> Float[Tensor, ""]:
        """The loss of a batch, with its graph."""
        clips = (*self._setting.batches, self._setting.probe)[batch]
        with self._setting.autocast(batch):
            return self._objective.training_losses(clips).total

    def trained(self) -> Iterator[nn.Parameter]:
        """Every parameter that is trained."""
        return (p for p in self._objective.parameters() if p.requires_grad)

    def update(self) -> None:
        """The optimizer's step, gradients gone, the teacher moved."""
        optim, steps = self._setting.recipe.optim, self._setting.recipe.train.steps
        set_schedules(self._optimizer, optim, self._steps, steps)
        if optim.clipping is not None:
            self._layout.clip_gradients(optim.clipping)
        self._optimizer.step()
        self._optimizer.zero_grad()
        if optim.ema is not None:
            self._layout.update_teachers(optim.ema.at(self._steps, steps))
        self._steps += 1


def _draw_batch(recipe: Recipe, step: int, size: int) -> Batch[MaskedClips]:
    encoder = recipe.method.encoder
    clip = recipe.facts.data.sources[0].clip
    generator = torch.Generator().manual_seed(step)
    shape = (size, *clip, 3)
    clips = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    grid = TokenGrid.of(*shape[1:4], tubelet=encoder.tubelet, patch=encoder.patch)
    samples = range(step * size, (step + 1) * size)
    masks = draw_masks(
        recipe.method.masks, grid, seed=recipe.train.seed, step=step, samples=samples
    )
    content = MaskedClips(groups=(ClipGroup(clips=clips, masks=masks),))
    return Batch(content=content, origin=Origin(first_sample=step * size))


def _flops(recipe: Recipe, batch: MaskedClips) -> float:
    encoder = recipe.method.encoder
    total = 0.0
    for group in batch.groups:
        shape = group.clips.shape[1:4]
        tokens = TokenGrid.of(*shape, tubelet=encoder.tubelet, patch=encoder.patch).num_tokens
        per_clip = model_flops(
            encoder,
            recipe.method.predictor,
            tokens=tokens,
            masks=[mask_tokens(masks.context_index, masks.target_index) for masks in group.masks],
        )
        total += per_clip * len(group.clips)
    return total


def policy_of(recipe: Recipe) -> ActivationCheckpointing:
    """What the backward pass computes again; nothing for `auto`, which asks for a run's device."""
    policy = recipe.train.activation_checkpointing
    return "none" if policy == "auto" else policy


def mask_tokens(context_index: Tensor, target_index: Tensor) -> MaskTokens:
    """How many tokens a mask group has."""
    sets, targets = cast("tuple[int, int]", tuple(target_index.shape[1:]))
    return MaskTokens(context_index.shape[1], targets, sets)

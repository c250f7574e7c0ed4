"""The layout of one process, DDP and FSDP2: the model's own fp32 weights are the masters."""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset
from torch.optim import Optimizer

from worldmodel_train.protocols import EmaPair
from worldmodel_train.training.ema import Ema
from worldmodel_train.training.layouts.layout import Piece
from worldmodel_train.training.layouts.moments import MOMENTS, Kind, Moments
from worldmodel_train.training.layouts.state_tensors import part_of, state_tensors
from worldmodel_train.training.optim import ClipGradConfig


class InPlace:
    """Weights are whole on every rank, or sharded along their first axis as FSDP2 does it."""

    def __init__(
        self, objective: nn.Module, pairs: Sequence[EmaPair], optimizer: Optimizer
    ) -> None:
        self._tensors = state_tensors(objective, pairs)
        self.moments = Moments(optimizer, list(self._tensors.trained.values()))
        self._ema = Ema(
            [_local(entry.student.data) for entry in self._tensors.followed],
            [_local(entry.teacher.data) for entry in self._tensors.followed],
            [entry.momentum for entry in self._tensors.followed],
        )
        self._norm: Tensor | None = None
        self._part_norms: dict[str, Tensor] = {}

    def pieces(self) -> Sequence[Piece]:
        """Each tensor whole, or this rank's rows of it."""
        return list(self._pieces())

    def publish(self) -> None:
        """Nothing to do: the pieces are the model's weights."""

    @torch.no_grad()
    def update_teachers(self, momentum: float | None) -> None:
        """One pass over all weights, without communication."""
        self._ema.update(momentum)
        self._tensors.copy_buffers()

    def clip_gradients(self, clip: ClipGradConfig | None) -> None:
        """Measures and clips; Lightning's own clipping refuses a fused optimizer under bf16."""
        apart = clip is not None and clip.of == "each_part"
        parts = list(self._parts().values()) if apart else [list(self._tensors.trained.values())]
        # a phase has gradients of its own parameters alone
        parts = [part for part in parts if any(p.grad is not None for p in part)]
        norms = [_clip(part, None if clip is None else clip.norm) for part in parts]
        self._norm = torch.stack(norms).norm() if apart else norms[0]

    def watch_parts(self) -> None:
        """Measures them at once, of each child of the objective that has gradients now."""
        parts = self._parts().items()
        self._part_norms = {
            name: _clip(parameters, None)
            for name, parameters in parts
            if any(p.grad is not None for p in parameters)
        }

    def part_norms(self) -> Mapping[str, Tensor]:
        """As `watch_parts` measured them for this step."""
        norms, self._part_norms = self._part_norms, {}
        return norms

    def gradient_norm(self) -> Tensor | None:
        """As `clip_gradients` measured it for this step."""
        norm, self._norm = self._norm, None
        return norm

    def _parts(self) -> dict[str, list[nn.Parameter]]:
        """What is trained, by the child of the objective that it belongs to."""
        parts: dict[str, list[nn.Parameter]] = {}
        for name, parameter in self._tensors.trained.items():
            parts.setdefault(part_of(name), []).append(parameter)
        return parts

    def _pieces(self) -> Iterator[Piece]:
        tensors = self._tensors
        teachers = {entry.name: entry.teacher for entry in tensors.followed}
        for name, tensor in {
            **tensors.trained,
            **teachers,
            **tensors.frozen,
            **tensors.buffers,
        }.items():
            yield _piece("weights", name, tensor.data)
        for name, parameter in tensors.trained.items():
            for kind in MOMENTS:
                yield _piece(kind, name, self.moments.of(parameter, kind))


def _clip(parameters: Sequence[nn.Parameter], limit: float | None) -> Tensor:
    """The norm of the gradients before they are scaled to at most `limit`."""
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if limit is not None:
        nn.utils.clip_grads_with_norm_(parameters, limit, norm)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


def _piece(kind: Kind, name: str, tensor: Tensor) -> Piece:
    start = 0
    if isinstance(tensor, DTensor):
        _, offset = compute_local_shape_and_global_offset(
            tensor.shape, tensor.device_mesh, tensor.placements
        )
        start = offset[0] * math.prod(tensor.shape[1:])
    return Piece(
        kind=kind,
        name=name,
        start=start,
        values=_local(tensor).view(-1),
        replicated=not isinstance(tensor, DTensor),
    )


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor

"""The layout of ZeRO 3: every parameter, the teachers' too, in equal slices over the ranks.

Rank r keeps the r-th of W slices of each flattened parameter: in the model's dtype to compute with,
and in fp32 with its moments. The EMA is cut in the same way, so a step of the teachers needs no
communication at all.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from worldmodel_train.protocols import EmaPair
from worldmodel_train.training.ema import Ema
from worldmodel_train.training.layouts.layout import Piece
from worldmodel_train.training.layouts.moments import MOMENTS, Kind
from worldmodel_train.training.layouts.zero import Zero


class ZeroPartitioned(Zero):
    """ZeRO 3."""

    def __init__(self, objective: nn.Module, pairs: Sequence[EmaPair], engine: Any) -> None:  # noqa: ANN401  # see Zero
        super().__init__(objective, pairs, engine, engine.optimizer.fp32_partitioned_groups_flat)
        self._masters = {name: self._own(p) for name, p in self.tensors.trained.items()}
        self._frozen = {
            name: _slice(p).to(torch.float32, copy=True) for name, p in self.tensors.frozen.items()
        }
        followed = self.tensors.followed
        students = [self._own(entry.student) for entry in followed]
        self._emas = [
            _slice(entry.teacher).to(device=student.device, dtype=torch.float32, copy=True)
            for entry, student in zip(followed, students, strict=True)
        ]
        self.ema = Ema(students, self._emas, [entry.momentum for entry in followed])

    def pieces(self) -> Sequence[Piece]:
        """One piece of each tensor, without the padding; none where the tensor is too short."""
        return list(self._pieces())

    @torch.no_grad()
    def publish(self) -> None:
        """Copies masters and EMA to the slices in the model's dtype; nothing is sent."""
        for name, parameter in self.tensors.trained.items():
            _slice(parameter).copy_(self._masters[name])
        for name, parameter in self.tensors.frozen.items():
            _slice(parameter).copy_(self._frozen[name])
        self.publish_teachers()

    def publish_teachers(self) -> None:
        """Copies the EMA to the slices; nothing is sent."""
        slices = [_slice(entry.teacher) for entry in self.tensors.followed]
        if slices:
            torch._foreach_copy_(slices, self._emas)  # pyright: ignore[reportPrivateImportUsage]  # no public name

    def gradients_of(self, master: Tensor) -> Iterator[tuple[str, Tensor]]:
        """The slices of parameters in a flat gradient; the padding of a slice is 0."""
        for name, own in self._masters.items():
            offset = own.storage_offset() - master.storage_offset()
            is_within = own.untyped_storage().data_ptr() == master.untyped_storage().data_ptr()
            if master.grad is not None and is_within and 0 <= offset < master.numel():
                yield name, master.grad.view(-1).narrow(0, offset, own.numel())

    def _pieces(self) -> Iterator[Piece]:
        yield from self.buffer_pieces()
        for name, parameter in self.tensors.trained.items():
            yield from _piece("weights", name, parameter, self._masters[name])
            for kind in MOMENTS:
                yield from _piece(kind, name, parameter, self._own(parameter, kind))
        for name, parameter in self.tensors.frozen.items():
            yield from _piece("weights", name, parameter, self._frozen[name])
        for entry, ema in zip(self.tensors.followed, self._emas, strict=True):
            yield from _piece("weights", entry.name, entry.teacher, ema)

    def _own(self, parameter: nn.Parameter, moment: Kind | None = None) -> Tensor:
        """This rank's slice of the master, or of a moment: the tensor itself, no copy.

        The public `safe_get_local_fp32_param` gives a copy where masters are off the device.
        """
        own, _ = self.engine.optimizer._get_fp32_opt_state_partition(  # noqa: SLF001
            parameter, release_swap_buffers=False, optim_state_key=moment
        )
        return own.data


def _slice(parameter: Any) -> Tensor:  # noqa: ANN401  # with what DeepSpeed adds to a parameter
    """This rank's slice in the model's dtype.

    With a persistence threshold of 0 every parameter is taken apart between steps. One that stayed
    whole would not see what is written here.
    """
    assert parameter.ds_status.name == "NOT_AVAILABLE", f"a parameter is {parameter.ds_status}"
    return parameter.ds_tensor.data


def _piece(kind: Kind, name: str, parameter: Any, own: Tensor) -> Iterator[Piece]:  # noqa: ANN401  # see _slice
    start = dist.get_rank() * own.numel()
    size = min(own.numel(), parameter.ds_numel - start)
    if size > 0:
        yield Piece(kind=kind, name=name, start=start, values=own[:size], replicated=False)

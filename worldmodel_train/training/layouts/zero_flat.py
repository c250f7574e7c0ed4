"""The layout of ZeRO 1 and 2: weights whole, masters and moments in equal slices of flat groups.

A group's parameters lie behind each other in one flat tensor of the model's dtype, of which every
rank has a copy. Rank r keeps the r-th of W equal slices in fp32, with its moments. The EMA is a
slice of the same size, so a step of the teachers is one lerp without communication, and publishing
it one all-gather in the model's dtype.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from worldmodel_train.protocols import EmaPair
from worldmodel_train.training.ema import Ema
from worldmodel_train.training.layouts.layout import Piece
from worldmodel_train.training.layouts.moments import MOMENTS, Kind
from worldmodel_train.training.layouts.zero import Zero


@dataclass(frozen=True, kw_only=True)
class FlatGroup:
    """One parameter group as DeepSpeed keeps it."""

    offsets: dict[int, int]
    """Where each parameter, by id, begins in `flat`."""
    flat: Tensor
    """All parameters of the group in the model's dtype, padded to a multiple of the ranks."""
    master: Tensor
    """This rank's slice in fp32."""
    ranks: dist.ProcessGroup

    @property
    def begin(self) -> int:
        """Where this rank's slice begins in `flat`."""
        return dist.get_rank(self.ranks) * self.master.numel()

    def pieces(self, kind: Kind, names: dict[int, tuple[str, int]], values: Tensor) -> list[Piece]:
        """`values`, a tensor in the place of `master`, cut at the borders of parameters.

        `names` has the name and size of each parameter by its id.
        """
        cut, begin, end = [], self.begin, self.begin + self.master.numel()
        for key, offset in self.offsets.items():
            name, size = names[key]
            first, last = max(offset, begin), min(offset + size, end)
            if first < last:
                own = values[first - begin : last - begin]
                piece = Piece(
                    kind=kind, name=name, start=first - offset, values=own, replicated=False
                )
                cut.append(piece)
        return cut


class ZeroFlat(Zero):
    """ZeRO 1 and 2."""

    def __init__(self, objective: nn.Module, pairs: Sequence[EmaPair], engine: Any) -> None:  # noqa: ANN401  # see Zero
        self._groups = flat_groups(engine.optimizer)
        super().__init__(objective, pairs, engine, [group.master for group in self._groups])
        self._names = {id(p): (name, p.numel()) for name, p in self.tensors.trained.items()}
        # in fp32, as a checkpoint has it; the model computes with its own dtype
        self._frozen = {
            name: p.detach().to(torch.float32, copy=True) for name, p in self.tensors.frozen.items()
        }
        self._teachers = {
            id(entry.student): (entry.name, entry.student.numel())
            for entry in self.tensors.followed
        }
        self._teacher_groups = [_lay_out_teacher(group, self) for group in self._followed_groups()]
        masters = [group.student.master.data for group in self._teacher_groups]
        self.ema = Ema(
            masters,
            [group.ema for group in self._teacher_groups],
            [group.momentum for group in self._teacher_groups],
        )

    def pieces(self) -> Sequence[Piece]:
        """The stretches of parameters that fall into this rank's slices."""
        return list(self._pieces())

    @torch.no_grad()
    def publish(self) -> None:
        """All ranks gather the masters and the EMA in the model's dtype."""
        self.engine.optimizer.update_lp_params()
        for name, parameter in self.tensors.frozen.items():
            parameter.copy_(self._frozen[name])
        self.publish_teachers()

    def publish_teachers(self) -> None:
        """All ranks gather the EMA."""
        for group in self._teacher_groups:
            own = group.ema.to(device=group.flat.device, dtype=group.flat.dtype)
            dist.all_gather_into_tensor(group.flat, own, group=group.student.ranks)

    def gradients_of(self, master: Tensor) -> Iterator[tuple[str, Tensor]]:
        """The stretches of parameters in the slice of a group's gradient."""
        group = next(group for group in self._groups if group.master is master)
        if master.grad is not None:
            for piece in group.pieces("weights", self._names, master.grad.view(-1)):
                yield piece.name, piece.values

    def _pieces(self) -> Iterator[Piece]:
        yield from self.buffer_pieces()
        for name, own in self._frozen.items():
            values = own.view(-1)
            yield Piece(kind="weights", name=name, start=0, values=values, replicated=True)
        for group in self._groups:
            yield from group.pieces("weights", self._names, group.master.data)
            for kind in MOMENTS:
                moment = self.moments.of(group.master, kind)
                yield from group.pieces(kind, self._names, moment)
        for group in self._teacher_groups:
            yield from group.student.pieces("weights", self._teachers, group.ema)

    def _followed_groups(self) -> Iterator[FlatGroup]:
        for group in self._groups:
            followed = [key in self._teachers for key in group.offsets]
            assert all(followed) or not any(followed), (
                "a parameter group of the objective mixes parameters that a teacher follows with "
                "others; give each its own group"
            )
            if all(followed):
                yield group


@dataclass(frozen=True, kw_only=True)
class TeacherGroup:
    """The teacher's side of a flat group: the same places in a tensor of its own."""

    student: FlatGroup
    flat: Tensor
    ema: Tensor
    """This rank's slice in fp32, where the masters are."""
    momentum: float | None
    """Of its own, if not the schedule's."""


def flat_groups(optimizer: Any) -> list[FlatGroup]:  # noqa: ANN401  # see Zero
    """The flat groups of DeepSpeed's optimizers for stage 1 and 2.

    bf16 with fp32 accumulation under stage 1 is a class of its own, with other names.
    """
    if hasattr(optimizer, "bf16_groups"):
        members = optimizer.bf16_groups, optimizer.bf16_groups_flat
        masters = optimizer.fp32_groups_flat_partition
    else:
        members = optimizer.bit16_groups, optimizer.bit16_groups_flat
        masters = optimizer.single_partition_of_fp32_groups
    ranks = optimizer.real_dp_process_group
    return [_flat_group(*parts) for parts in zip(*members, masters, ranks, strict=True)]


def _flat_group(
    parameters: Sequence[nn.Parameter], flat: Tensor, master: Tensor, ranks: dist.ProcessGroup
) -> FlatGroup:
    base, size = flat.data_ptr(), flat.element_size()
    offsets = {id(p): (p.data_ptr() - base) // size for p in parameters}
    assert all(0 <= offset < flat.numel() for offset in offsets.values())
    return FlatGroup(offsets=offsets, flat=flat, master=master, ranks=ranks)


@torch.no_grad()
def _lay_out_teacher(group: FlatGroup, layout: Zero) -> TeacherGroup:
    """Moves the teachers of a group into one flat tensor; their values stay."""
    flat = torch.zeros_like(group.flat)
    momenta: set[float | None] = set()
    for entry in layout.tensors.followed:
        offset = group.offsets.get(id(entry.student))
        if offset is not None:
            momenta.add(entry.momentum)
            place = flat[offset : offset + entry.student.numel()].view(entry.teacher.shape)
            entry.teacher.data = place.copy_(entry.teacher.data)
    own = flat[group.begin : group.begin + group.master.numel()]
    ema = own.to(device=group.master.device, dtype=torch.float32, copy=True)
    (momentum,) = momenta
    return TeacherGroup(student=group, flat=flat, ema=ema, momentum=momentum)

"""Teachers that follow their students."""

from collections.abc import Sequence

import torch
from torch import Tensor


class Ema:
    """Moves teachers towards students, in place; called once after each *optimizer* step.

    Both are lists of fp32 tensors of the same sizes: whole weights, or a rank's pieces of the
    masters. In bf16 most elements would never move, because 1 - momentum is below the rounding
    of the weight. `own` has the momentum of each that does not follow the schedule.
    """

    def __init__(
        self,
        students: Sequence[Tensor],
        teachers: Sequence[Tensor],
        own: Sequence[float | None] | None = None,
    ) -> None:
        for teacher in teachers:
            assert teacher.dtype == torch.float32, f"a teacher is {teacher.dtype}"
        momenta = own or [None] * len(teachers)
        self._pairs: dict[float | None, tuple[list[Tensor], list[Tensor]]] = {}
        for student, teacher, momentum in zip(students, teachers, momenta, strict=True):
            followers, leaders = self._pairs.setdefault(momentum, ([], []))
            followers.append(teacher)
            leaders.append(student)

    @torch.no_grad()
    def update(self, scheduled: float | None) -> None:
        """Sets teacher = momentum * teacher + (1 - momentum) * student."""
        for own, (teachers, students) in self._pairs.items():
            momentum = scheduled if own is None else own
            assert momentum is not None, "a teacher follows optim.ema, which is null"
            torch._foreach_lerp_(teachers, students, 1.0 - momentum)  # pyright: ignore[reportPrivateImportUsage]  # no public name

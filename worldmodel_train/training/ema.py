"""Teachers that follow their students."""

from collections.abc import Sequence

import torch
from torch import Tensor


class Ema:
    """Moves teachers towards students, in place; called once after each *optimizer* step.

    Both are lists of fp32 tensors of the same sizes: whole weights, or a rank's pieces of the
    masters. In bf16 most elements would never move, because 1 - momentum is below the rounding
    of the weight.
    """

    def __init__(self, students: Sequence[Tensor], teachers: Sequence[Tensor]) -> None:
        for teacher in teachers:
            assert teacher.dtype == torch.float32, f"a teacher is {teacher.dtype}"
        self._students = list(students)
        self._teachers = list(teachers)

    @torch.no_grad()
    def update(self, momentum: float) -> None:
        """Sets teacher = momentum * teacher + (1 - momentum) * student."""
        if self._teachers:
            torch._foreach_lerp_(self._teachers, self._students, 1.0 - momentum)  # pyright: ignore[reportPrivateImportUsage]  # no public name

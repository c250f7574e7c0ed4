"""What all ranks decide together, on the CPU: the host must not wait for the GPU to decide."""

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar, cast

import torch
import torch.distributed as dist

ValueT = TypeVar("ValueT")


class Agreement:
    """Small exchanges between all ranks; each method is called by all of them in the same order.

    With one process, or before the processes have met, a rank agrees with itself.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout = timedelta(seconds=timeout_s)
        self._group: dist.ProcessGroup | None = None

    def greatest(self, *numbers: int) -> tuple[int, ...]:
        """The greatest of each number over the ranks."""
        return self.ask(*numbers)()

    def ask(self, *numbers: int) -> Callable[[], tuple[int, ...]]:
        """Begins to find the greatest of each number; the result waits for the slowest rank."""
        if self.alone:
            return lambda: numbers
        flags = torch.tensor(numbers)
        work = dist.all_reduce(flags, op=dist.ReduceOp.MAX, group=self._ranks(), async_op=True)
        assert work is not None, "this process is one of the group"

        def answer() -> tuple[int, ...]:
            work.wait()
            return tuple(int(flag) for flag in flags)

        return answer

    def gather(self, value: ValueT) -> list[ValueT]:
        """Every rank's value, by rank."""
        if self.alone:
            return [value]
        values: list[ValueT | None] = [None] * dist.get_world_size()
        dist.all_gather_object(values, value, group=self._ranks())
        return cast("list[ValueT]", values)

    @property
    def alone(self) -> bool:
        """Whether there is nobody to agree with."""
        return not dist.is_initialized() or dist.get_world_size() == 1

    def _ranks(self) -> dist.ProcessGroup:
        if self._group is None:
            group = dist.new_group(backend="gloo", timeout=self._timeout)
            self._group = cast("dist.ProcessGroup", group)
        return self._group

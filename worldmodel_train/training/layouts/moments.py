"""AdamW's moments, made before the first step so that they can be filled from a checkpoint."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

Kind = Literal["weights", "exp_avg", "exp_avg_sq"]
MOMENTS: tuple[Kind, Kind] = ("exp_avg", "exp_avg_sq")


class Moments:
    """The moments of the tensors that an AdamW steps: weights, or a rank's pieces of the masters.

    They begin as zeros at step 0, which is what AdamW's own first step would make of nothing.
    """

    def __init__(self, optimizer: Optimizer, masters: Sequence[Tensor]) -> None:
        self._states = [optimizer.state[master] for master in masters]
        self._of = optimizer.state
        for state, master in zip(self._states, masters, strict=True):
            # where a fused AdamW counts
            state["step"] = torch.zeros((), dtype=torch.float32, device=master.device)
            for kind in MOMENTS:
                state[kind] = torch.zeros_like(master, memory_format=torch.preserve_format)

    def of(self, master: Tensor, kind: Kind) -> Tensor:
        """The moment of a master: the tensor itself."""
        return self._of[master][kind]

    def set_step(self, step: int) -> None:
        """Sets how many steps the moments have seen."""
        for state in self._states:
            state["step"].fill_(float(step))

    def step(self) -> int:
        """How many steps the moments have seen; waits for the device once."""
        steps = set(torch.stack([state["step"] for state in self._states]).tolist())
        assert len(steps) == 1, f"moments have seen different numbers of steps: {sorted(steps)}"
        return int(steps.pop())

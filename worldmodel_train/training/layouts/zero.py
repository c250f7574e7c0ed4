"""What the layouts of ZeRO 1, 2 and 3 have in common: the engine clips, buffers are replicated.

The engine has all gradients, reduced, only inside its step, flat and clipped already. There the
norms of parts are measured, and then scaled so that together they are the norm before clipping.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from worldmodel_train.protocols import EmaPair
from worldmodel_train.training.ema import Ema
from worldmodel_train.training.layouts.layout import Piece
from worldmodel_train.training.layouts.moments import Moments
from worldmodel_train.training.layouts.state_tensors import StateTensors, part_of, state_tensors
from worldmodel_train.training.optim import ClipGradConfig


class Zero:
    """A DeepSpeed engine, and what does not depend on its stage."""

    ema: Ema
    """Over this rank's slices of the masters."""

    def __init__(
        self,
        objective: nn.Module,
        pairs: Sequence[EmaPair],
        engine: Any,  # noqa: ANN401  # DeepSpeed is imported only where it is used
        masters: Sequence[Tensor],
    ) -> None:
        self.engine = engine
        self.tensors: StateTensors = state_tensors(objective, pairs)
        # some stages have taken a step with zero gradients; new moments undo that
        self.moments = Moments(engine.optimizer.optimizer, masters)
        self._parts = list(dict.fromkeys(map(part_of, self.tensors.trained)))
        self._watches = False
        self._squares: dict[str, list[Tensor]] = {}
        engine.optimizer.optimizer.register_step_pre_hook(self._measure)

    def clip_gradients(self, clip: ClipGradConfig | None) -> None:
        """Tells the engine the limit of this step: it clips what it has reduced, all together."""
        assert clip is None or clip.of == "all", "refused before the engine was made"
        self.engine.optimizer.clip_grad = 0.0 if clip is None else clip.norm

    def watch_parts(self) -> None:
        """Lets the steps of the optimizer measure them; the engine takes one for each group."""
        self._watches = True

    def part_norms(self) -> Mapping[str, Tensor]:
        """As measured in this step, over all ranks."""
        watched, self._watches = self._watches, False
        if not watched:
            return {}
        # a rank may hold nothing but padding, and still takes part
        squares, self._squares = self._squares, {}
        zero = torch.zeros((), device=self.engine.device)
        sums = [sum(squares.get(part, ()), zero) for part in self._parts]
        own = torch.stack(sums)
        dist.all_reduce(own)
        norm = torch.as_tensor(self.engine.get_global_grad_norm()).to(own)
        clipped = own.sum().sqrt()
        norms = own.sqrt() * torch.where(clipped > 0, norm / clipped, 1.0)
        return dict(zip(self._parts, norms.unbind(), strict=True))

    def gradients_of(self, master: Tensor) -> Iterator[tuple[str, Tensor]]:
        """The stretches of a master's gradient, with the name of the parameter of each."""
        raise NotImplementedError

    def _measure(self, optimizer: Optimizer, args: object, kwargs: object) -> None:
        """Squared norms of the parts in what the optimizer is about to step."""
        del args, kwargs
        if not self._watches:
            return
        for master in (master for group in optimizer.param_groups for master in group["params"]):
            stretches: dict[str, list[Tensor]] = {}
            for name, stretch in self.gradients_of(master):
                stretches.setdefault(part_of(name), []).append(stretch)
            for part, found in stretches.items():
                square = nn.utils.get_total_norm(found).square().to(self.engine.device)
                self._squares.setdefault(part, []).append(square)

    def gradient_norm(self) -> Tensor | None:
        """As the engine measured it, over all ranks."""
        return torch.as_tensor(self.engine.get_global_grad_norm())

    @torch.no_grad()
    def update_teachers(self, momentum: float | None) -> None:
        """A lerp of this rank's slices, which are then published."""
        self.ema.update(momentum)
        self.publish_teachers()
        self.tensors.copy_buffers()

    def publish_teachers(self) -> None:
        """Makes the teachers compute with the EMA, in the model's dtype."""
        raise NotImplementedError

    def buffer_pieces(self) -> Iterator[Piece]:
        """The buffers, the same on every rank."""
        for name, buffer in self.tensors.buffers.items():
            yield Piece(kind="weights", name=name, start=0, values=buffer.view(-1), replicated=True)

"""What the layouts of ZeRO 1, 2 and 3 have in common: the engine clips, buffers are replicated."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from worldmodel_train.protocols import EmaPair
from worldmodel_train.training.ema import Ema
from worldmodel_train.training.layouts.layout import Piece
from worldmodel_train.training.layouts.moments import Moments
from worldmodel_train.training.layouts.state_tensors import StateTensors, state_tensors
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
        if self.tensors.frozen:
            name = next(iter(self.tensors.frozen))
            raise ValueError(
                f"train.strategy=deepspeed: {name} is neither trained nor "
                "a teacher's, so no rank would keep it in fp32; use train.strategy=ddp"
            )
        # some stages have taken a step with zero gradients; new moments undo that
        self.moments = Moments(engine.optimizer.optimizer, masters)

    def clip_gradients(self, clip: ClipGradConfig | None) -> None:
        """Tells the engine the limit of this step: it clips what it has reduced, all together."""
        assert clip is None or clip.of == "all", "refused before the engine was made"
        self.engine.optimizer.clip_grad = 0.0 if clip is None else clip.norm

    def part_norms(self) -> Mapping[str, Tensor]:
        """Empty: the engine's flat gradients mix the parts, and it tells of their norm together."""
        return {}

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

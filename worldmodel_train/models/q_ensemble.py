"""Several networks that each say what an action in a state is worth."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from worldmodel_train.models.normed_mlp import normed_mlp


class QEnsemble(nn.Module):
    """Members of equal shape; all begin by saying the same of everything."""

    def __init__(
        self, *, members: int, inputs: int, width: int, outputs: int, dropout: float
    ) -> None:
        super().__init__()
        widths = (inputs, width, width, outputs)
        self.members = nn.ModuleList(normed_mlp(widths, dropout=dropout) for _ in range(members))
        for member in self.members:
            assert isinstance(member, nn.Sequential)
            last = member[-1]
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)

    def forward(
        self,
        latents: Float[Tensor, "*b d"],
        actions: Float[Tensor, "*b a"],
        which: Int[Tensor, " q"] | None = None,
    ) -> Float[Tensor, "q *b o"]:
        """Logits of all members, or of those that `which` counts."""
        numbers = range(len(self.members)) if which is None else which.tolist()
        inputs = torch.cat((latents, actions.to(latents.dtype)), dim=-1)
        return torch.stack([self.members[number](inputs) for number in numbers])

    def draw_two(self, generator: torch.Generator | None = None) -> Int[Tensor, "2"]:
        """Two members, on the host; a generator of a GPU is waited for."""
        device = None if generator is None else generator.device
        return torch.randperm(len(self.members), generator=generator, device=device)[:2].cpu()

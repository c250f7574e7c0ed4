"""What an agent has learned of goals: what to do at once, and what is yet to be paid."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class GoalNetwork(nn.Module):
    """A small network of a latent and the goal's.

    Both go through one linear map first: what matters of latents, such as a place, is often linear
    in them, and so few numbers are learned from few lessons.
    """

    def __init__(self, *, latents: int, outputs: int, width: int, features: int) -> None:
        super().__init__()
        self.features = nn.Linear(latents, features)
        self.network = nn.Sequential(
            nn.Linear(2 * features, width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Linear(width, outputs),
        )

    def forward(
        self, latents: Float[Tensor, "*b d"], goals: Float[Tensor, "*#b d"]
    ) -> Float[Tensor, "*b o"]:
        """As many numbers as there are outputs."""
        seen, asked = self.features(latents), self.features(goals)
        return self.network(torch.cat((seen, asked.expand_as(seen)), dim=-1))


class ReactivePolicy(nn.Module):
    """Mode-1: from a latent and the goal's to an action from -1 to 1, without a search."""

    def __init__(self, *, latents: int, actions: int, width: int = 128, features: int = 8) -> None:
        super().__init__()
        self.network = GoalNetwork(latents=latents, outputs=actions, width=width, features=features)

    def forward(
        self, latents: Float[Tensor, "*b d"], goals: Float[Tensor, "*b d"]
    ) -> Float[Tensor, "*b a"]:
        """What to do now."""
        return self.network(latents, goals).tanh()


class Critic(nn.Module):
    """The intrinsic cost that is yet to come on the way from a latent to the goal's."""

    def __init__(self, *, latents: int, width: int = 128, features: int = 8) -> None:
        super().__init__()
        self.network = GoalNetwork(latents=latents, outputs=1, width=width, features=features)

    def forward(
        self, latents: Float[Tensor, "*b d"], goals: Float[Tensor, "*#b d"]
    ) -> Float[Tensor, "*b"]:
        """The mean of the cost over the moments that follow, as far as it was taught."""
        return self.network(latents, goals).squeeze(-1)

"""The best linear map from latents to pixels: what can be seen in them without learning to look."""

import torch
from jaxtyping import Float
from torch import Tensor

PENALTY = 1.0
"""Ridge penalty, beside sums over all tokens: it keeps directions without variance harmless."""


class LinearPixels:
    """Ridge regression from a token's latent to its tubelet, the same at all places."""

    def __init__(self) -> None:
        self._gram = torch.zeros(())
        self._cross = torch.zeros(())

    def add(self, latents: Float[Tensor, "b n d"], tubelets: Float[Tensor, "b n p"]) -> None:
        """Takes more tokens into account; only sums are kept."""
        inputs, outputs = _with_one(latents), tubelets.flatten(0, 1).double()
        self._gram = self._gram.to(inputs.device) + inputs.T @ inputs
        self._cross = self._cross.to(inputs.device) + inputs.T @ outputs

    def decode(self, latents: Float[Tensor, "b k d"]) -> Float[Tensor, "b k p"]:
        """The tubelets of these tokens, after all that was added."""
        penalty = PENALTY * torch.eye(len(self._gram), device=self._gram.device).double()
        penalty[-1, -1] = 0  # the mean is not shrunk
        weights = torch.linalg.solve(self._gram + penalty, self._cross)
        return (_with_one(latents) @ weights).float().unflatten(0, latents.shape[:2])


def _with_one(latents: Float[Tensor, "b n d"]) -> Float[Tensor, "_ d1"]:
    tokens = latents.flatten(0, 1).double()
    return torch.cat((tokens, tokens.new_ones(len(tokens), 1)), dim=1)

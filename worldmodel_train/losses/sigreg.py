"""SIGReg: how far latents are from an isotropic Gaussian (LeJEPA, arXiv 2511.08544).

By the theorem of Cramer and Wold it is enough to look at projections onto single directions. Each
is compared with a normal distribution by the statistic of Epps and Pulley: the squared distance of
characteristic functions under a window.
"""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from worldmodel_train.collectives import copy_from_first_rank, num_ranks, summed_over_ranks
from worldmodel_train.config import StrictConfig


class SigReg(StrictConfig):
    """The statistic, times the number of samples it is of.

    So its mean over Gaussian samples is about 1.05, however many there are; where all latents are
    zero it is 0.402 for each sample. Public codes differ in this factor, and so in what a weight of
    the loss means: here samples count over all ranks, in one forward pass.
    """

    directions: int = Field(default=1024, gt=0)
    """Random directions, drawn anew in each call from torch's generator."""
    knots: int = Field(default=17, gt=1)
    """Points that the characteristic function is compared at, from 0 to `limit`."""
    limit: float = Field(default=3.0, gt=0)
    """The function is even or odd in each part, so one half of the line is enough."""

    def loss(self, latents: Float[Tensor, "t b d"]) -> Float[Tensor, ""]:
        """The mean over time steps and directions, in fp32, of the batch that all ranks hold.

        Each rank has the same value, and by back-propagation through the sums over ranks the
        gradient that, averaged over them, is that of the joined batch. Ranks hold equally many.
        """
        with torch.autocast(latents.device.type, enabled=False):
            directions = self._draw(latents)
            knots, weights = self._integral(latents.device)
            phases = (latents.float() @ directions)[..., None] * knots
            # one sum over ranks for both parts
            parts = torch.stack((phases.cos().mean(dim=1), phases.sin().mean(dim=1)))
            ranks = num_ranks()
            real, imaginary = summed_over_ranks(parts) / ranks
            gaussian = torch.exp(-(knots**2) / 2)
            distance = (real - gaussian).square() + imaginary.square()
            return latents.shape[1] * ranks * (distance @ weights).mean()

    @torch.no_grad()
    def _draw(self, latents: Float[Tensor, "t b d"]) -> Float[Tensor, "d {self.directions}"]:
        """Unit vectors, those of the first rank on all: their generators are seeded apart."""
        drawn = torch.randn(latents.shape[-1], self.directions, device=latents.device)
        copy_from_first_rank(drawn)
        return drawn / drawn.norm(dim=0)

    def _integral(
        self, device: torch.device
    ) -> tuple[Float[Tensor, "{self.knots}"], Float[Tensor, "{self.knots}"]]:
        """Knots, and weights of the trapezoid rule under the window, for the whole line."""
        knots = torch.linspace(0, self.limit, self.knots, device=device)
        weights = torch.full_like(knots, 2 * self.limit / (self.knots - 1))
        weights[[0, -1]] /= 2
        return knots, weights * torch.exp(-(knots**2) / 2)

"""Small predictors of the next latent, fitted to draws of the same episodes: an ensemble.

Where little was seen they are free to differ, so their disagreement says how much there is to learn
(Pathak et al., "Self-supervised exploration via disagreement", arXiv 1906.04161; Plan2Explore,
arXiv 2005.05960). All of them see the latents of one frozen encoder: those of several could not be
compared.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class Transitions:
    """What actions led to, in latents."""

    latents: Float[Tensor, "n d"]
    actions: Float[Tensor, "n a"]
    following: Float[Tensor, "n d"]
    """The latent after each action."""
    episode: Int[Tensor, " n"]
    """From which episode each is."""


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """How an ensemble is fitted."""

    members: int = 5
    width: int = 128
    """Hidden channels of a member."""
    steps: int = 1000
    """Of Adam."""
    batch: int = 128
    """Transitions in a step of a member."""
    learning_rate: float = 1e-3
    seed: int = 0
    """Of first weights, and of what each member is shown."""


FITTING = Fitting()


class Ensemble(nn.Module):
    """Members of one kind, and the scales of what they are shown."""

    def __init__(self, shown: Transitions, fitting: Fitting) -> None:
        super().__init__()
        width, actions = shown.latents.shape[1], shown.actions.shape[1]
        self.latent_scale = _Scale(shown.latents)
        self.action_scale = _Scale(shown.actions)
        self.change_scale = _Scale(shown.following - shown.latents)
        sides = pairwise((width + actions, fitting.width, fitting.width, width))
        self.layers = nn.ModuleList(_Layer(fitting.members, *side) for side in sides)

    def forward(
        self, latents: Float[Tensor, "*m n d"], actions: Float[Tensor, "*m n a"]
    ) -> Float[Tensor, "k n d"]:
        """How much latents change, by each member, in units of the spread of changes.

        Members are shown the same, or each its own where there is an axis before `n`.
        """
        shown = torch.cat((self.latent_scale(latents), self.action_scale(actions)), dim=-1)
        hidden = self.layers[0](shown)
        for layer in self.layers[1:]:
            hidden = layer(functional.silu(hidden))
        return hidden

    def disagreement(
        self, latents: Float[Tensor, "n d"], actions: Float[Tensor, "n a"]
    ) -> Float[Tensor, " n"]:
        """The variance over members of what comes next, averaged over a latent's channels."""
        return self(latents, actions).var(dim=0, correction=0).mean(dim=-1)


def fitted(shown: Transitions, fitting: Fitting = FITTING) -> Ensemble:
    """An ensemble each of whose members was shown a bootstrap of the episodes.

    The same on the same machine: one thread adds, and the seed decides what is drawn.
    """
    with one_thread(), torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(fitting.seed)
        ensemble = Ensemble(shown, fitting)
        optimizer = torch.optim.Adam(ensemble.parameters(), fitting.learning_rate)
        change = ensemble.change_scale(shown.following - shown.latents)
        for index in _draws(shown.episode, fitting):
            predicted = ensemble(shown.latents[index], shown.actions[index])
            optimizer.zero_grad()
            functional.mse_loss(predicted, change[index]).backward()
            optimizer.step()
    return ensemble.eval().requires_grad_(requires_grad=False)


@contextmanager
def one_thread() -> Iterator[None]:
    """Several threads add in another order, and what is chosen would hang on a machine's cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _draws(episode: Int[Tensor, " n"], fitting: Fitting) -> Iterator[Int[Tensor, "k b"]]:
    """Transitions of each step and member.

    A member's episodes are drawn with replacement, whole: transitions of one are much alike, and
    were they drawn one by one, all members would have seen nearly the same.
    """
    _, numbers = episode.unique(return_inverse=True)
    count = int(numbers.max()) + 1
    drawn = torch.randint(count, (fitting.members, count))
    times = torch.stack([torch.bincount(row, minlength=count) for row in drawn])
    weights = times[:, numbers].float()
    for _ in range(fitting.steps):
        yield torch.multinomial(weights, fitting.batch, replacement=True)


class _Layer(nn.Module):
    """A linear map for each member, all at once."""

    def __init__(self, members: int, width: int, output: int) -> None:
        super().__init__()
        most = width**-0.5  # as torch draws a linear map
        self.weight = nn.Parameter(torch.empty(members, width, output).uniform_(-most, most))
        self.bias = nn.Parameter(torch.empty(members, 1, output).uniform_(-most, most))

    def forward(self, shown: Float[Tensor, "*m n c"]) -> Float[Tensor, "k n e"]:
        return shown @ self.weight + self.bias


class _Scale(nn.Module):
    """Less the mean of some rows, over their spread; what never changes keeps its size."""

    def __init__(self, rows: Float[Tensor, "n c"]) -> None:
        super().__init__()
        std = rows.std(dim=0, correction=0)
        self.mean = nn.Buffer(rows.mean(dim=0))
        self.std = nn.Buffer(torch.where(std > 0, std, torch.ones_like(std)))

    def forward(self, numbers: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        return (numbers - self.mean) / self.std

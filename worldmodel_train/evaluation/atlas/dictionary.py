"""A sparse autoencoder of an encoder's tokens, trained in moments."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from worldmodel_train.cartography.sparse_autoencoder import Config, SparseAutoencoder
from worldmodel_train.types import Latents

_TOKENS = 1024  # of a step
_RATE = 1e-3
_ACTIVE = 8
_WIDER = 4  # features for each channel


def train_dictionary(
    tokens: Float[Tensor, "n d"], *, steps: int, seed: int
) -> tuple[SparseAutoencoder, float]:
    """The autoencoder, and the share of the variance of all `tokens` that it explains."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        width = tokens.shape[1]
        features = _WIDER * width
        dead_after = max(steps // 4, 1) * _TOKENS
        model = Config(
            width=width, features=features, active=min(_ACTIVE, features), dead_after=dead_after
        ).build()
        optimizer = torch.optim.Adam(model.parameters(), lr=_RATE)
        for _ in range(steps):
            batch = tokens[torch.randint(len(tokens), (_TOKENS,))]
            losses = model.training_losses(Latents(tokens=batch[None]))
            optimizer.zero_grad()
            losses.total.backward()
            optimizer.step()
            with torch.no_grad():
                model.after_step()
    model.eval()
    with torch.no_grad():
        left = (tokens - model.decode(model.encode(tokens))).square().sum()
        whole = (tokens - tokens.mean(0)).square().sum()
    return model, 1 - float(left / whole)


@torch.no_grad()
def activations(
    model: SparseAutoencoder, volume: Float[Tensor, "v t y x d"]
) -> Float[Tensor, "v t y x f"]:
    """How much of each feature each token has."""
    flat = rearrange(volume, "v t y x d -> (v t) (y x) d")
    parts = torch.cat([model.encode(part) for part in flat.split(64)])
    return rearrange(parts, "(v t) (y x) f -> v t y x f", t=volume.shape[1], y=volume.shape[2])

"""Seeds that are pure functions of where the run is, so that no generator state is ever saved."""

import numpy as np
import torch


def seed_weights(seed: int) -> None:
    """Seeds torch for drawing the weights: the same on every rank."""
    torch.manual_seed(_mix(seed))


def seed_forward(seed: int, step: int, micro_step: int, rank: int) -> None:
    """Seeds torch for one forward pass, so that a resumed run draws what an unbroken one draws."""
    torch.manual_seed(_mix(seed, step, micro_step, rank))


def _mix(*parts: int) -> int:
    # the number of parts goes in as well: SeedSequence ignores trailing zeros
    return int(np.random.SeedSequence([len(parts), *parts]).generate_state(1, np.uint64)[0])

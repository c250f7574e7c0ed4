"""Clips of noise."""

import torch

from worldmodel_train.types import Clips


def random_clips(number=6):
    """Of four frames of 16 px."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (number, 4, 16, 16, 3), dtype=torch.uint8, generator=generator)
    return Clips(pixels=pixels, samples=tuple(range(number)))

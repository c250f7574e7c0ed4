"""Noise that changes slowly: successive values go together."""

import torch
from jaxtyping import Float
from torch import Tensor


def coloured_noise(
    shape: tuple[int, ...], exponent: float, *, like: Tensor, generator: torch.Generator | None
) -> Float[Tensor, "*b h a"]:
    """Normal noise whose power falls as frequency to the `-exponent` along the steps `h`.

    Every value has mean 0 and variance 1; exponent 0 is white noise, 1 pink, 2 that of a random
    walk (Timmer & Koenig 1995). Of the device and precision of `like`. The lowest frequency of a
    time as long as the axis stands in for that of no frequency at all.
    """
    steps = shape[-2]
    white = torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
    if exponent == 0 or steps == 1:
        return white
    frequency = torch.fft.rfftfreq(steps, device=like.device, dtype=like.dtype)
    frequency[0] = 1 / steps
    amplitude = frequency ** (-exponent / 2)
    # a real series' spectrum holds the inner frequencies twice
    twice = torch.full_like(frequency, 2)
    twice[0] = 1
    if steps % 2 == 0:
        twice[-1] = 1
    variance = (twice * amplitude.square()).sum() / steps
    spectrum = torch.fft.rfft(white, dim=-2) * (amplitude / variance.sqrt())[:, None]
    return torch.fft.irfft(spectrum, n=steps, dim=-2)

"""Uniform numbers that are a pure function of what they are for.

A seeded generator hands out numbers in the order in which they are asked for, so a batch would
have to be drawn sample by sample. Hashing the counters themselves gives every (sample, block, axis)
its own number in one vectorised call, whatever else is in the batch.
"""

import hashlib

import numpy as np
from jaxtyping import Float, Int, UInt64

from worldmodel_train.splitmix64 import GOLDEN, mix64


def stream(*parts: str | int) -> UInt64[np.ndarray, "1"]:
    """A 64-bit key for the numbers that `parts` name; different parts give unrelated numbers."""
    text = "\x1f".join(str(part) for part in parts)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return np.frombuffer(digest, dtype="<u8").astype(np.uint64)


def uniforms(
    key: UInt64[np.ndarray, "1"], *counters: Int[np.ndarray, "..."]
) -> Float[np.ndarray, "..."]:
    """One number in [0, 1) for each element of the counters, broadcast together."""
    state = key
    for counter in counters:
        state = mix64(state + GOLDEN * (counter.astype(np.uint64) + np.uint64(1)))
    return (state >> np.uint64(11)) * 2.0**-53

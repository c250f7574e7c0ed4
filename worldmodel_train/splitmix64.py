"""The bit mixer under every draw that is a pure function of counters."""

import numpy as np
from jaxtyping import UInt64

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""Steps between inputs: 2^64 divided by the golden ratio, which spreads small counters."""
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def mix64(words: UInt64[np.ndarray, "..."]) -> UInt64[np.ndarray, "..."]:
    """Each word with every output bit depending on every input bit (Steele, Lea, Flood 2014)."""
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    return words ^ (words >> np.uint64(31))

"""Some of many samples, spread over all of them."""

from itertools import count
from math import isqrt


def stride(total: int, limit: int) -> int:
    """How far apart samples lie of which at most `limit` are taken, of `total`.

    It is a prime, or classes that take turns might be met in step; 1 where all are taken.
    """
    least = -(-total // limit)
    if least <= 1:
        return 1
    return next(n for n in count(least) if all(n % d for d in range(2, isqrt(n) + 1)))


def every_so_many(total: int, limit: int) -> range:
    """The numbers of at most `limit` samples of `total`."""
    return range(0, total, stride(total, limit))

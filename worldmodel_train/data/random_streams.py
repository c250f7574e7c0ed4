"""Randomness as a pure function of integers, so that any sample can be drawn again."""

from enum import IntEnum

import numpy as np

_WORD = 0xFFFFFFFF


class Stream(IntEnum):
    """What a number is drawn for; streams never share numbers."""

    ORDER = 0
    MIXTURE = 1
    CLIP = 2
    REPLACEMENT = 3
    SHARDS = 4
    BUFFER = 5
    WORLD = 6
    ACTION = 7
    WINDOW = 8
    FILM = 9
    HELD_OUT_FILM = 10
    TOKENS = 11
    AUGMENT = 12
    LENGTH = 13
    CAMERA = 14


def _sequence(stream: Stream, numbers: tuple[int, ...]) -> np.random.SeedSequence:
    """A seed sequence in which every number takes two words, so that no two tuples look alike."""
    words = [int(stream)]
    for number in numbers:
        words += [number & _WORD, (number >> 32) & _WORD]
    return np.random.SeedSequence(words)


def key(stream: Stream, *numbers: int) -> int:
    """A 64-bit key, the same on every machine."""
    return int(_sequence(stream, numbers).generate_state(1, np.uint64)[0])


def generator(stream: Stream, *numbers: int) -> np.random.Generator:
    """A generator of its own for these numbers."""
    return np.random.Generator(np.random.Philox(_sequence(stream, numbers)))

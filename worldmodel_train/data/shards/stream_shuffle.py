"""Shuffles a stream with a buffer that is bounded in samples and in bytes."""

import random
from collections.abc import Iterator

from worldmodel_train.data.shards.source import EncodedSample
from worldmodel_train.data.shards.stream_samples import Item

BUFFER_BYTES = 4 << 30  # of videos; whatever a stream sends, no loading process holds more
_FIRST_FILL = 100  # samples buffered before the first leaves; waiting for more delays the start

Turn = tuple[int, Item]


def shuffled(items: Iterator[Turn], size: int, rng: random.Random) -> Iterator[Turn]:
    """The items in an order that is a function of them and `rng`, at most `size` held at a time.

    Two come in for each that leaves until the buffer is full, of items or of bytes.
    """
    buffer, held = list[Turn](), 0
    for item in items:
        buffer.append(item)
        held += _num_bytes(item)
        if len(buffer) < size and held < BUFFER_BYTES and (more := next(items, None)) is not None:
            buffer.append(more)
            held += _num_bytes(more)
        while len(buffer) >= min(size, _FIRST_FILL) or held > BUFFER_BYTES:
            picked = _pick(buffer, rng)
            held -= _num_bytes(picked)
            yield picked
            if held <= BUFFER_BYTES:
                break
    while buffer:
        yield _pick(buffer, rng)


def _pick(buffer: list[Turn], rng: random.Random) -> Turn:
    place = rng.randint(0, len(buffer) - 1)
    buffer[place], buffer[-1] = buffer[-1], buffer[place]
    return buffer.pop()


def _num_bytes(item: Turn) -> int:
    return len(item[1].video) if isinstance(item[1], EncodedSample) else 0

import random
from collections.abc import Iterator

from worldmodel_train.batch import Skip
from worldmodel_train.data.shards import stream_shuffle
from worldmodel_train.data.shards.source import EncodedSample
from worldmodel_train.data.shards.stream_shuffle import Shuffled


def turns(count: int, num_bytes: int = 10) -> Iterator[tuple[int, EncodedSample]]:
    for number in range(count):
        yield (
            number,
            EncodedSample(key=str(number), shard="a.tar", files={"video": bytes(num_bytes)}),
        )


def numbers(shuffled: Shuffled) -> list[int]:
    return [number for number, _ in shuffled]


def test_every_item_leaves_once_in_an_order_that_the_seed_decides():
    first, again, other = (
        numbers(Shuffled(turns(500), 64, random.Random(seed))) for seed in (1, 1, 2)
    )
    assert sorted(first) == list(range(500))
    assert first == again
    assert first != other
    assert first != sorted(first)


def test_no_more_bytes_are_held_than_the_bound_and_one_item(monkeypatch):
    monkeypatch.setattr(stream_shuffle, "BUFFER_BYTES", 100)
    came, left, most = [], [], 0

    def counted() -> Iterator[tuple[int, EncodedSample]]:
        nonlocal most
        for turn in turns(300):
            came.append(turn)
            most = max(most, len(came) - len(left))
            yield turn

    for number, _ in Shuffled(counted(), 1000, random.Random(0)):
        left.append(number)
    assert sorted(left) == list(range(300))
    assert most * 10 == 110


def test_a_bad_sample_takes_no_room(monkeypatch):
    monkeypatch.setattr(stream_shuffle, "BUFFER_BYTES", 100)
    skips = ((number, Skip("truncated_shard", "a.tar", "")) for number in range(300))
    order = numbers(Shuffled(skips, 1000, random.Random(0)))
    assert sorted(order) == list(range(300))
    assert order[:20] != sorted(order[:20])

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel_train.batch import Batch, Origin, StreamMark
from worldmodel_train.data.stream_positions import (
    StreamPosition,
    StreamPositions,
    merge_streams,
    position_of,
    what_a_stream_repeats,
)
from worldmodel_train.types import MaskedClips

HOLES = st.sets(st.integers(1, 60), max_size=12)


def batch(*marks):
    return Batch(content=MaskedClips(groups=()), origin=Origin(first_sample=0, stream_marks=marks))


def mark(consumer, finished, consumers=2, shards=7, source="a"):
    return StreamMark(
        source=source, shards=shards, consumer=consumer, consumers=consumers, finished=finished
    )


@given(first=st.integers(0, 100), holes=HOLES)
def test_numbers_are_dealt_in_order_without_those_already_read(first, holes):
    beyond = tuple(sorted(first + hole for hole in holes))
    position = StreamPosition(shards=5, first=first, beyond=beyond)
    unread = (number for number in count(first) if number not in beyond)
    assert [position.number(place) for place in range(80)] == [next(unread) for _ in range(80)]


@settings(deadline=None)
@given(launches=st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=12), max_size=6))
def test_over_any_launches_no_shard_is_lost_and_none_is_read_twice_that_was_finished(launches):
    """Each launch has a process for each number, which finishes so many shards."""
    position, read = StreamPosition(shards=5), list[int]()
    for finished in launches:
        for consumer, turns in enumerate(finished):
            read += [position.number(consumer + t * len(finished)) for t in range(turns)]
        position = position.after(finished)
    assert len(read) == len(set(read))
    assert set(read) == set(range(position.first)) | set(position.beyond)
    assert position.first not in position.beyond


@pytest.mark.slow
@settings(deadline=None)
@given(
    launches=st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 3), st.lists(st.integers(0, 5), min_size=12)),
        max_size=5,
    )
)
def test_merging_what_the_ranks_know_gives_the_position_of_all_processes(launches):
    state, expected = None, StreamPosition(shards=7)
    for world_size, workers, turns in launches:
        ranks = [StreamPositions(state) for _ in range(world_size)]
        finished = turns[: world_size * workers]
        for rank, positions in enumerate(ranks):
            for worker in range(workers):
                c = rank * workers + worker
                for n in range(finished[c] + 1):
                    positions.add(batch(mark(c, n, world_size * workers)))
        state = merge_streams([positions.state() for positions in ranks])
        expected = expected.after(finished)
        assert position_of(state, "a", 7) == expected
        assert merge_streams([state]) == state


def test_a_process_whose_batches_nobody_has_used_has_read_nothing():
    one, other = StreamPositions(None), StreamPositions(None)
    one.add(batch(mark(1, 3)))
    state = merge_streams([one.state(), other.state()])
    assert position_of(state, "a", 7) == StreamPosition(shards=7, first=0, beyond=(1, 3, 5))


def test_a_rank_that_has_used_no_batch_since_the_last_resume_does_not_hold_up_the_others():
    before = {"a": {"read": [7, 4], "since": [16]}}
    ranks = [StreamPositions(before), StreamPositions(before)]
    ranks[1].add(batch(mark(1, 1)))
    state = merge_streams([rank.state() for rank in ranks])
    assert position_of(state, "a", 7) == StreamPosition(shards=7, first=4, beyond=(5,))
    assert merge_streams([StreamPositions(before).state()]) == before


def test_sources_are_counted_apart_and_keep_what_was_known_of_them():
    positions = StreamPositions({"old": {"read": [3, 2], "since": [1]}})
    positions.add(batch(mark(0, 1, 1, source="a"), mark(0, 2, 1, shards=5, source="b")))
    state = merge_streams([positions.state()])
    assert position_of(state, "a", 7).first == 1
    assert position_of(state, "b", 5).first == 2
    assert position_of(state, "old", 3).first == 2


def test_with_another_number_of_shards_the_epoch_begins_anew():
    state = {"a": {"read": [7, 17, 20], "since": [2]}}
    assert position_of(state, "a", 10) == StreamPosition(shards=10, first=20)
    assert position_of(state, "b", 10) == StreamPosition(shards=10)
    positions = StreamPositions(state)
    positions.add(batch(mark(0, 1, 1, shards=10)))
    assert position_of(merge_streams([positions.state()]), "a", 10).first == 21


def test_the_log_names_where_a_stream_goes_on_and_what_comes_again():
    state = {"a": {"read": [7, 17, 20], "since": [2]}}
    said = what_a_stream_repeats(state, "a", 7)
    assert "shard 3 of 7 of epoch 2" in said
    assert "its 2 loading processes had open are read again" in said
    assert "10 shards now, not 7; epoch 2 begins anew" in what_a_stream_repeats(state, "a", 10)
    assert "begins anew and repeats" in what_a_stream_repeats({}, "a", 7)

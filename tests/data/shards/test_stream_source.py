from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel_train.data.shards.source import SampleError
from worldmodel_train.data.shards.stream_source import StreamLimits, StreamShare, StreamSource
from worldmodel_train.data.stream_positions import StreamPosition


def source(shards, consumer=0, consumers=1, *, start=None, buffer=1):
    start = start or StreamPosition(shards=len(shards))
    share = StreamShare(consumer=consumer, consumers=consumers, seed=3, start=start)
    limits = StreamLimits(shuffle_buffer=buffer, timeout_s=30.0, retry_s=0.0)
    return StreamSource(shards, share, number=0, limits=limits)


def finished(stream):
    return stream.mark("a").finished


@settings(deadline=None, max_examples=40)
@given(shards=st.integers(1, 20), consumers=st.integers(1, 9), epochs=st.integers(1, 3))
def test_all_processes_together_read_each_shard_once_an_epoch(shards, consumers, epochs):
    names = [f"pipe:{i}" for i in range(shards)]
    streams = [source(names, c, consumers) for c in range(consumers)]
    read = [streams[n % consumers].shard(n // consumers) for n in range(epochs * shards)]
    for epoch in range(epochs):
        assert sorted(read[epoch * shards : (epoch + 1) * shards]) == sorted(names)


def test_a_process_meets_other_shards_in_another_epoch():
    worker = source([f"pipe:{i}" for i in range(32)], 1, 8)
    turns = [worker.shard(turn) for turn in range(8)]
    assert set(turns[:4]) != set(turns[4:])


def test_the_order_of_shards_does_not_depend_on_where_it_is_entered():
    names = [f"pipe:{i}" for i in range(10)]
    whole = [source(names).shard(turn) for turn in range(30)]
    resumed = source(names, start=StreamPosition(shards=10, first=13, beyond=(14, 16)))
    assert [resumed.shard(turn) for turn in range(5)] == [whole[n] for n in (13, 15, 17, 18, 19)]


@pytest.mark.parametrize("buffer", [1, 3, 50])
def test_a_shard_is_finished_when_its_last_sample_has_left_the_buffer(make_shard, buffer):
    shards = [
        f"pipe:cat {make_shard(f'{s}.tar', {f'{s}{i}': b'v' for i in range(4)})}" for s in range(3)
    ]
    stream = source(shards, buffer=buffer)
    given = Counter()
    for position in range(60):
        given[stream.read(position, 0).key] += 1
        read = Counter(stream.shard(turn).split("/")[-1][0] for turn in range(finished(stream)))
        for shard, times in read.items():
            assert all(given[f"{shard}{i}"] >= times for i in range(4))
    assert finished(stream) >= 60 // 4 - 1 - buffer


def test_a_shard_of_bad_samples_is_finished_too(make_shard):
    shards = [f"pipe:cat {make_shard('a.tar', {})}", "pipe:exit 3"]
    stream = source(shards)
    for position in range(6):
        with pytest.raises(SampleError):
            stream.read(position, 0)
    assert finished(stream) == 5  # of the sixth it is not yet known that nothing follows


def test_closing_a_stream_kills_the_command_that_writes_it(make_shard, tmp_path):
    shard = make_shard("a.tar", {"1": b"v", "2": b"v", "3": b"v"})
    stream = source([f"pipe:echo $$ > {tmp_path}/pid; cat {shard}; sleep 100"])
    stream.read(0, 0)
    pid = int((tmp_path / "pid").read_text())
    assert Path(f"/proc/{pid}").exists()
    stream.close()
    assert not Path(f"/proc/{pid}").exists()


def test_a_pipe_gives_every_sample_once_an_epoch(make_shard):
    shards = [
        f"pipe:cat {make_shard(f'{s}.tar', {f'{s}{i}': b'v' for i in range(4)})}" for s in range(3)
    ]
    stream = source(shards, buffer=5)
    keys = Counter(stream.read(i, 0).key for i in range(240))
    assert len(keys) == 12
    assert min(keys.values()) >= 18


def test_a_stream_repeats_its_order_and_shuffles_it(make_shard):
    shard = f"pipe:cat {make_shard('a.tar', {f'{i:02d}': b'v' for i in range(50)})}"
    streams = [source([shard], buffer=buffer) for buffer in (1, 20, 20)]
    orders = [[stream.read(i, 0).key for i in range(50)] for stream in streams]
    assert orders[0] == sorted(orders[0])
    assert orders[1] == orders[2] != orders[0]


def test_a_bad_item_is_an_error_and_the_stream_goes_on(make_shard):
    shard = make_shard("a.tar", {"1": b"v", "2": b"v"}, without_json=["1"])
    stream = source([f"pipe:cat {shard}"])
    with pytest.raises(SampleError, match="missing_json"):
        stream.read(0, 0)
    assert stream.read(1, 0).key == "2"

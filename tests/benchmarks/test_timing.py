import time

import pytest
import torch

from benchmarks.timing import Spread, Timing, clock_for, interleaved

CPU = torch.device("cpu")


def test_the_spread_is_median_and_quartiles():
    assert Spread.of([5.0, 1.0, 2.0, 4.0, 3.0]) == (3.0, 2.0, 4.0)
    assert Spread.of([7.0]) == (7.0, 7.0, 7.0)


def test_a_falling_function_swaps_the_quartiles():
    assert Spread(2.0, 1.0, 4.0).map(lambda s: 1 / s) == (0.5, 0.25, 1.0)


def test_a_ratio_is_taken_round_by_round():
    slow_machine = [1.0, 1.0, 10.0]
    ours = Timing(clock="cpu", rounds={"cpu": slow_machine})
    theirs = Timing(clock="cpu", rounds={"cpu": [2 * s for s in slow_machine]})
    assert theirs.ratio_to(ours) == (2.0, 2.0, 2.0)


def test_contestants_take_turns_and_each_begins_a_round():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "abc"}
    timings = interleaved(calls, CPU, rounds=3, warmup=1)
    assert "".join(order) == "abc" + "abc" + "bca" + "cab"
    assert all(len(one.rounds["wall"]) == 3 for one in timings.values())


def test_short_calls_are_repeated():
    calls = []
    interleaved({"a": lambda: calls.append(0)}, CPU, rounds=1, warmup=0, least_s=1e-3)
    assert len(calls) > 10


def test_sleep_is_wall_time_and_no_cpu_time():
    timing = interleaved({"a": lambda: time.sleep(0.05)}, CPU, rounds=1, warmup=0)["a"]
    assert timing.rounds["wall"][0] >= 0.05
    assert timing.rounds["cpu"][0] < 0.04


@pytest.mark.parametrize(("threads", "clock"), [(1, "cpu"), (2, "wall")])
def test_cpu_time_counts_where_one_thread_works(monkeypatch, threads, clock):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert clock_for(CPU) == clock

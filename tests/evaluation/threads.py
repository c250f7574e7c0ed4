"""Ranks that are threads of the test: they gather copies, as processes do."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor


class ThreadRank:
    """One of several."""

    def __init__(self, rank, world_size, barrier, told):
        self.rank = rank
        self.world_size = world_size
        self._barrier = barrier
        self._told = told

    def gather(self, value, /):
        self._told[self.rank] = pickle.dumps(value)
        self._barrier.wait(20)
        values = [pickle.loads(told) for told in self._told]
        self._barrier.wait(20)  # none tells the next value before all have read this one
        return values


def on_ranks(world_size, work):
    """What `work(rank)` gave each rank, or the error that it raised."""
    barrier, told = threading.Barrier(world_size), [None] * world_size
    ranks = [ThreadRank(rank, world_size, barrier, told) for rank in range(world_size)]

    def attempt(rank):
        try:
            return work(rank)
        except ValueError as error:
            return error

    with ThreadPoolExecutor(world_size) as pool:
        return list(pool.map(attempt, ranks))

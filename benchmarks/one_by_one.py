"""Cases one after the other; an error of one takes nothing from the others."""

import multiprocessing
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import torch

ResultT = TypeVar("ResultT")


def one_by_one(
    cases: Mapping[str, Callable[[], ResultT]], device: torch.device, *, threads: int
) -> Iterator[tuple[str, ResultT | BaseException]]:
    """Each case's name, with its result or with what it raised, which is shown as well.

    On a GPU cases run in another process, and go on in a new one after an error: no call works
    after an error of CUDA in the process that met it. `threads` of torch, where not 0.
    """
    executor = _executor(device, threads)
    try:
        for name, case in cases.items():
            future = executor.submit(case)
            error = future.exception()
            if error is not None:
                sys.stderr.write(f"bench: {name} failed\n")
                traceback.print_exception(error)
                executor.shutdown(wait=False)
                executor = _executor(device, threads)
            yield name, error or future.result()
    finally:
        executor.shutdown()


def _executor(device: torch.device, threads: int) -> Executor:
    initializer = partial(torch.set_num_threads, threads) if threads > 0 else None
    if device.type == "cuda":
        spawn = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, mp_context=spawn, initializer=initializer)
    return ThreadPoolExecutor(1, initializer=initializer)


def in_a_line(error: BaseException) -> str:
    """Kind and first line of an error, as results keep it."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"

"""The words of PyTorch's errors, as it gave them, and what becomes of them."""

import errno

import pytest
import torch

from worldmodel_train.training.clock import Clock
from worldmodel_train.training.shortages import (
    LostWorkerError,
    NoMemoryError,
    TooLargeError,
    room_for_workers,
    shortages_in_words,
)

CPU = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you "
    "tried to allocate 24576000000 bytes. Error code 12 (Cannot allocate memory)"
)
GPU = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB"
KILLED = "DataLoader worker (pid 123) is killed by signal: Killed. "
BUS = (
    "DataLoader worker (pid 123) is killed by signal: Bus error. It is possible that dataloader's "
    "workers are out of shared memory. Please try to raise your shared memory limit."
)
FULL = "unable to allocate shared memory(shm) for file </torch_1_2_0>: No space left on device (28)"
IN_WORKER = "Caught {} in DataLoader worker process 0.\nOriginal Traceback (most recent call last):"


def words(error: Exception, *, steps: int = 0) -> Exception:
    """What the error becomes after some steps."""
    clock = Clock(4, fastest=1.0)
    clock.begin(100)
    for _ in range(steps):
        clock.count_step()
    kinds = (RuntimeError, MemoryError, OSError, ValueError)
    with pytest.raises(kinds) as raised, shortages_in_words(clock):
        raise error
    assert raised.value is error or raised.value.__cause__ is error
    return raised.value


@pytest.mark.parametrize(
    ("error", "kind", "remedy"),
    [
        (RuntimeError(CPU), TooLargeError, "a smaller train.micro_batch"),
        (torch.OutOfMemoryError(GPU), TooLargeError, "activation_checkpointing=full"),
        (MemoryError(), TooLargeError, "or a smaller model"),
        (RuntimeError(KILLED), LostWorkerError, "data.loader.workers"),
        (RuntimeError("DataLoader worker (pid(s) 1, 23) exited unexpectedly"), LostWorkerError,
         "pid(s) 1, 23"),
        (RuntimeError(BUS), LostWorkerError, "--shm-size"),
        (RuntimeError(f"{IN_WORKER}\nRuntimeError: {FULL}"), NoMemoryError, "--shm-size"),
        (RuntimeError(f"{IN_WORKER}\nRuntimeError: {CPU}"), NoMemoryError, "loader.prefetch"),
        (MemoryError(f"{IN_WORKER}\nMemoryError"), NoMemoryError, "loader.prefetch"),
    ],
)  # fmt: skip
def test_a_shortage_becomes_one_line_with_the_remedy(error, kind, remedy):
    made = words(error)
    assert type(made) is kind
    assert remedy in str(made)
    assert "\n" not in str(made)


def test_memory_that_runs_out_after_steps_that_fitted_is_worth_another_start():
    assert isinstance(words(torch.OutOfMemoryError(GPU), steps=1), NoMemoryError)


def test_other_errors_pass_through():
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    assert words(error) is error


def test_full_shared_memory_at_the_start_of_workers_is_named():
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(NoMemoryError, match=r"/dev/shm is full: .*--shm-size"), room_for_workers():
        raise full
    denied = PermissionError(errno.EACCES, "Permission denied")
    with pytest.raises(PermissionError, match="denied"), room_for_workers():
        raise denied

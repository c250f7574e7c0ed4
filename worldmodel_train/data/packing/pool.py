"""Worker processes that may hang or die without taking the run with them."""

import multiprocessing
import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from ctypes import c_double
from dataclasses import dataclass, field
from itertools import count
from math import inf
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, Generic, TypeVar

from worldmodel_train.data.confinement import OUT_OF_MEMORY, end_with_parent, limit_memory

Payload = TypeVar("Payload")
Result = TypeVar("Result")
Task = Callable[[Any, Callable[[], None]], Any]
"""A module-level function of a payload and a heartbeat, to be called while it makes progress."""

_START_S = 120.0  # imports are slow on a busy network file system

# not fork: a child must not inherit the parent's pipes, or it outlives a killed parent
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True, kw_only=True)
class Lost:
    """The result of a payload whose worker hung (`timeout`), took long (`slow`) or died.

    A worker dies (`crashed`) of a library's mistake, or for lack of memory (`out_of_memory`).
    """

    reason: str
    detail: str


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    begun: c_double
    """When it took its payload; until then the latest moment to do so."""
    heartbeat: c_double
    job: int | None = None


@dataclass
class WorkerPool(Generic[Payload, Result]):
    """Runs `task` over payloads in `workers` processes; results come in the payloads' order.

    A worker whose heartbeat stops for `timeout_s` seconds is killed and replaced, and so is one
    that takes `total_s` for a payload, with whatever progress.
    """

    task: Task
    workers: int
    timeout_s: float
    total_s: float = inf
    memory_mb: int = 8192
    """MiB that a worker may take beyond what it takes idle, on Linux: 16K pictures are encoded."""
    _workers: list[_Worker] = field(default_factory=list, init=False)

    def __enter__(self) -> "WorkerPool[Payload, Result]":
        self._workers = [self._start() for _ in range(self.workers)]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            _stop(worker)

    def map_in_order(self, payloads: Iterable[Payload], ahead: int) -> Iterator[Result | Lost]:
        """Results in order, at most `ahead` payloads begun beyond the last one taken."""
        waiting = enumerate(payloads)
        done: dict[int, Result | Lost] = {}
        exhausted = False
        for wanted in count():
            while wanted not in done:
                while not exhausted and (idle := self._idle()) and self._span(wanted, done) < ahead:
                    job = next(waiting, None)
                    exhausted = job is None
                    if job is not None:
                        self._send(idle, *job)
                if all(worker.job is None for worker in self._workers):
                    return
                done.update(self._collect())
            yield done.pop(wanted)

    def _span(self, wanted: int, done: dict[int, Result | Lost]) -> int:
        begun = [w.job for w in self._workers if w.job is not None] + list(done)
        return max(begun, default=wanted - 1) - wanted + 1

    def _idle(self) -> _Worker | None:
        return next((worker for worker in self._workers if worker.job is None), None)

    def _send(self, worker: _Worker, job: int, payload: Payload) -> None:
        if not worker.process.is_alive():  # killed while it was idle
            self._replace(worker)
        worker.job = job
        worker.begun.value = worker.heartbeat.value = time.monotonic() + _START_S
        worker.pipe.send(payload)

    def _collect(self) -> dict[int, Result | Lost]:
        """Results that have come, and the loss of every worker that hangs or has died."""
        busy = [worker for worker in self._workers if worker.job is not None]
        ready = wait([worker.pipe for worker in busy], timeout=min(1.0, self.timeout_s / 4))
        results: dict[int, Result | Lost] = {}
        for worker in busy:
            assert worker.job is not None
            if worker.pipe in ready:
                results[worker.job] = self._receive(worker)
            elif late := self._late(worker):
                results[worker.job] = late
                self._replace(worker)
            worker.job = None if worker.job in results else worker.job
        return results

    def _late(self, worker: _Worker) -> Lost | None:
        """The loss of a worker that was waited for long enough."""
        now = time.monotonic()
        if now - worker.heartbeat.value > self.timeout_s:
            return Lost(reason="timeout", detail=f"no progress for {self.timeout_s:g} s")
        if now - worker.begun.value > self.total_s:
            detail = f"not done after {self.total_s:g} s; cut it into segments, or raise --timeout"
            return Lost(reason="slow", detail=detail)
        return None

    def _receive(self, worker: _Worker) -> Result | Lost:
        """What the worker sent; an error it raised is raised here."""
        try:
            outcome = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            worker.process.join(timeout=5)
            status = worker.process.exitcode
            self._replace(worker)
            if status == -signal.SIGKILL:
                detail = "the worker was killed from outside, as where memory is short"
                return Lost(reason=OUT_OF_MEMORY, detail=detail)
            return Lost(reason="crashed", detail=f"the worker died (exit code {status})")
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    def _replace(self, worker: _Worker) -> None:
        _stop(worker)
        fresh = self._start()
        worker.process, worker.pipe = fresh.process, fresh.pipe
        worker.begun, worker.heartbeat = fresh.begun, fresh.heartbeat

    def _start(self) -> _Worker:
        ours, theirs = _SPAWN.Pipe()
        # without a lock: a killed worker would keep it
        begun, heartbeat = _SPAWN.RawValue("d"), _SPAWN.RawValue("d")
        arguments = (theirs, (begun, heartbeat), self.task, self.memory_mb)
        process = _SPAWN.Process(target=_serve, args=arguments, daemon=True)
        process.start()
        theirs.close()  # so that a worker's death reads as the end of the pipe
        return _Worker(process, ours, begun, heartbeat)


def in_processes(
    task: Callable[[Payload, Callable[[], None]], Result],
    payloads: Sequence[Payload],
    *,
    workers: int,
    timeout_s: float,
) -> Generator[tuple[Payload, Result | Lost], None, None]:
    """Each payload with its result, in order; no more processes than payloads."""
    pool = WorkerPool[Payload, Result](task, min(workers, len(payloads)), timeout_s)
    with pool:
        yield from zip(payloads, pool.map_in_order(payloads, 2 * workers), strict=True)


def _stop(worker: _Worker) -> None:
    worker.process.kill()
    worker.process.join()
    worker.pipe.close()


def _serve(pipe: Connection, clock: tuple[c_double, c_double], task: Task, memory_mb: int) -> None:
    begun, heartbeat = clock
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops us
    end_with_parent()
    limit_memory(memory_mb)

    def beat() -> None:
        heartbeat.value = time.monotonic()

    try:
        while True:
            payload = pipe.recv()
            begun.value = heartbeat.value = time.monotonic()
            pipe.send(_outcome(task, payload, beat))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone


def _outcome(task: Task, payload: object, beat: Callable[[], None]) -> object:
    try:
        return task(payload, beat)
    except OSError as error:  # a full disk stops the run, not only this worker
        return OSError(error.errno, error.strerror, error.filename)
    except MemoryError:
        return Lost(reason=OUT_OF_MEMORY, detail="needs more memory than a worker may take")

"""Several decoding processes at work on what comes next, in the order in which it is asked for."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import TypeVar

from worldmodel_train.data.config import DecoderConfig
from worldmodel_train.data.decoding.decode import Decoder
from worldmodel_train.data.decoding.decode_process import DecodeProcess

ItemT = TypeVar("ItemT")
FoundT = TypeVar("FoundT")


def decode_ahead(
    items: Iterable[ItemT],
    work: Callable[[Decoder, ItemT], FoundT],
    config: DecoderConfig,
    *,
    processes: int,
) -> Generator[FoundT, None, None]:
    """What `work` makes of each item with a decoder, in their order.

    While the caller looks at one, as many more as there are processes are made or wait for it. With
    0 processes nothing is made before it is asked for.
    """
    remaining = iter(items)
    if not processes:
        with DecodeProcess(config) as process:
            yield from (work(process, item) for item in remaining)
        return
    with _pool(work, config, processes) as submit:
        waiting = deque(map(submit, islice(remaining, processes)))
        while waiting:
            found = waiting.popleft().result()
            waiting.extend(map(submit, islice(remaining, 1)))
            yield found


@contextmanager
def _pool(
    work: Callable[[Decoder, ItemT], FoundT], config: DecoderConfig, processes: int
) -> Iterator[Callable[[ItemT], Future[FoundT]]]:
    """Gives an item to the next thread that is free; each thread keeps to a process of its own.

    The kernel ends a decoding process with the thread that started it.
    """
    own = threading.local()
    with ExitStack() as decoders:

        def begin() -> None:
            own.decoder = decoders.enter_context(DecodeProcess(config))

        pool = ThreadPoolExecutor(processes, "decoding", begin)
        try:
            yield lambda item: pool.submit(lambda: work(own.decoder, item))
        finally:
            pool.shutdown(cancel_futures=True)

"""Sample number -> what is made of it: draws source and sample, and replaces what is bad."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from worldmodel_train.batch import Skip
from worldmodel_train.data.config import LoaderConfig
from worldmodel_train.data.health import AWAY, MIN_SEEN, BadDataError, DataAwayError, shown
from worldmodel_train.data.mixture import Mixture
from worldmodel_train.data.remedies import remedy
from worldmodel_train.data.shards.source import EncodedSample, SampleError, Source
from worldmodel_train.data.source_config import ShardsConfig

MadeT = TypeVar("MadeT")


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A sample that may be read."""

    source: int
    number: int | None
    """Which of its source's samples; None of a stream."""
    attempt: int
    """How many bad samples were met in its place."""
    read: Callable[[], EncodedSample]
    """What is wanted of it; raises SampleError. Of a stream it is to be called once."""


class SampleReader:
    """Samples of a mixture; each is a function of (seed, number) where sources can seek."""

    def __init__(
        self,
        configs: Sequence[ShardsConfig],
        loader: LoaderConfig,
        sources: Sequence[Source],
        *,
        seed: int,
    ) -> None:
        self._configs = configs
        self._loader = loader
        self._sources = sources
        self._mixture = Mixture([config.weight for config in configs], seed)
        self._num_good = self._num_bad = 0  # samples of this process

    def source_of(self, number: int) -> int:
        """Which source the `number`-th sample of the mixture comes from."""
        return self._mixture.draw(number).source

    def read(self, number: int, make: Callable[[Drawn], MadeT]) -> tuple[MadeT, tuple[Skip, ...]]:
        """What `make` makes of a sample, and the bad ones for which that raised SampleError.

        Raises BadDataError if no replacement is good either.
        """
        source, position = self._mixture.draw(number)
        skipped: list[Skip] = []
        while True:
            try:
                made = make(self._drawn(source, position, len(skipped)))
            except SampleError as error:
                skipped.append(error.skip)
                self._num_bad += 1
                self._require_hope(self._configs[source], skipped)
                continue
            self._num_good += 1
            return made, tuple(skipped)

    def _drawn(self, source: int, position: int, attempt: int) -> Drawn:
        opened = self._sources[source]
        return Drawn(
            source=source,
            number=opened.number_at(position, attempt),
            attempt=attempt,
            read=partial(opened.read, position, attempt),
        )

    def _require_hope(self, source: ShardsConfig, skipped: Sequence[Skip]) -> None:
        """Raises BadDataError where it makes no sense to try yet another sample.

        A stream has its bad samples side by side, so that many in a row say nothing: there the
        share of bad ones decides, as for the run, among what this process has seen.
        """
        most = self._loader.max_attempts
        if len(skipped) < most:
            return
        away = all(skip.reason in AWAY for skip in skipped[-most:])
        seen = self._num_good + self._num_bad
        bad = self._num_bad > seen * self._loader.max_bad_share or not self._num_good
        if source.streams and not away and not (seen >= MIN_SEEN and bad):
            return
        raise (DataAwayError if away else BadDataError)(
            f"{len(skipped)} samples of source '{source.name}' in a row are bad "
            f"(data.loader.max_attempts); the last is {shown(skipped[-1])}. "
            + ("Is it away?" if away else remedy(Counter(skip.reason for skip in skipped)))
        )

"""A mixture in which some samples that follow each other are of one clip length."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Int64

from worldmodel_train.data.mixture import Draw, Mixture
from worldmodel_train.data.random_streams import Stream, key


class SpreadMixture(Mixture):
    """A mixture of which every stretch has nearly the shares of the whole: two halves take turns.

    Nothing is drawn, so that all blocks are alike.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        super().__init__(weights, seed=0)

    def _order(self, block: int) -> Int64[np.ndarray, "slots"]:
        del block
        times = np.concatenate([(np.arange(count) + 0.5) / count for count in self.counts])
        return times.argsort(kind="stable")


class MixtureByLength:
    """Runs of samples of one length: a length is chosen for each, then a source for each sample.

    Both are mixtures, so that a draw is a function of the sample's number here too: it needs no
    history, and knows nothing of ranks. Shares of lengths are exact over 1000 runs, those of the
    sources of one length over 1000 of their own samples.
    """

    def __init__(
        self,
        weights: Sequence[float],
        lengths: Sequence[int],
        *,
        together: Mapping[int, int],
        of_runs: Callable[[Sequence[float]], Mixture],
        seed: int,
    ) -> None:
        """`together` is how many samples a run has of each length, `of_runs` how runs are mixed."""
        self._together = [together[length] for length in dict.fromkeys(lengths)]
        self._apart = max(self._together)  # from the number of a run's first sample to the next's
        self._sources = [
            [source for source, of in enumerate(lengths) if of == length]
            for length in dict.fromkeys(lengths)
        ]
        shares = [[weights[source] for source in sources] for sources in self._sources]
        self._of_runs = of_runs(
            [sum(share) / count for share, count in zip(shares, self._together, strict=True)]
        )
        self._of_sources = [
            Mixture(share, key(Stream.LENGTH, seed, number)) for number, share in enumerate(shares)
        ]

    def samples(self, run: int) -> range:
        """The numbers of a run's samples; between runs some are left out where lengths differ."""
        first = run * self._apart
        return range(first, first + self._together[self._of_runs.draw(run).source])

    def draw(self, sample: int) -> Draw:
        """Where sample number `sample` of the run comes from."""
        run, place = divmod(sample, self._apart)
        length, position = self._of_runs.draw(run)
        drawn = self._of_sources[length].draw(position * self._together[length] + place)
        return Draw(self._sources[length][drawn.source], drawn.position)

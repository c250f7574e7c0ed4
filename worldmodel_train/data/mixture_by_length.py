"""A mixture in which some samples that follow each other are of one clip length."""

from collections.abc import Sequence

from worldmodel_train.data.mixture import Draw, Mixture
from worldmodel_train.data.random_streams import Stream, key


class MixtureByLength:
    """First a length is drawn for `together` samples, then for each a source of that length.

    Both are mixtures, so that a draw is a function of the sample's number here too: it needs no
    history, and knows nothing of ranks. Shares of lengths are exact over 1000 times `together`
    samples, those of the sources of one length over 1000 of their own.
    """

    def __init__(
        self, weights: Sequence[float], lengths: Sequence[int], *, together: int, seed: int
    ) -> None:
        self._together = together
        self._sources = [
            [source for source, of in enumerate(lengths) if of == length]
            for length in dict.fromkeys(lengths)
        ]
        shares = [[weights[source] for source in sources] for sources in self._sources]
        self._of_lengths = Mixture([sum(share) for share in shares], seed)
        self._of_sources = [
            Mixture(share, key(Stream.LENGTH, seed, number)) for number, share in enumerate(shares)
        ]

    def draw(self, sample: int) -> Draw:
        """Where sample number `sample` of the run comes from."""
        run, place = divmod(sample, self._together)
        length, position = self._of_lengths.draw(run)
        drawn = self._of_sources[length].draw(position * self._together + place)
        return Draw(self._sources[length][drawn.source], drawn.position)

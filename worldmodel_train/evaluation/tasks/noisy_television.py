"""Whether latents keep what can be predicted, and drop a television's noise, which cannot."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from pydantic import Field

from worldmodel_train.config import StrictConfig
from worldmodel_train.evaluation.task import HoldsOutClips, Offer, Subject, not_square
from worldmodel_train.evaluation.task_result import (
    UNTRAINED,
    Measured,
    Number,
    Section,
    TaskResult,
    contenders_tables,
)
from worldmodel_train.protocols import Encoder, LatentPredictor

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray

    from worldmodel_train.evaluation.frozen import Contestants
    from worldmodel_train.evaluation.probing.noisy_films import NoisyFilms

Scores: TypeAlias = Mapping[str, tuple[float, ...]]
PIXELS = "8x8 pixels, a tubelet and the one before"


class Config(StrictConfig):
    """Shares of the variance that a linear map reads from latents: of a thing, and of noise.

    One thing flies before a still background, of which a patch shows another picture each frame.
    """

    needs: ClassVar[type] = Encoder
    needs_held_out: ClassVar[bool] = False

    films: int = Field(default=600, ge=20)
    """Films; a quarter of them is read, the others are learned from."""
    fps: float = Field(default=8.0, gt=0)
    """Pictures a second: those of the films that a run was trained on."""
    television: float = Field(gt=0, le=0.625, default=0.375)
    """Side of the patch, in sides of the picture."""
    splits: int = Field(default=3, ge=1)
    """Ways of holding films out."""

    def misfits(self, offer: Offer) -> Iterator[str]:
        """Data without clips, and clips that are not square."""
        if not isinstance(offer.data, HoldsOutClips):
            yield "needs clips of the recipe's size, and the recipe reads none; leave it out"
            return
        yield from not_square(offer)

    def run(self, subject: Subject) -> TaskResult:
        """The shares, on films of the length and size that the recipe's clips have."""
        import torch

        from worldmodel_train.envs.balls import FilmShape
        from worldmodel_train.evaluation.atlas.tubelets import (
            pixels_of_moments,
            token_volume,
        )
        from worldmodel_train.evaluation.frozen import Contestants
        from worldmodel_train.evaluation.probing.noisy_films import cells_of_moments, noisy_films
        from worldmodel_train.probes.states import state_scores

        clip = subject.data.facts().measured_clip
        shape = FilmShape(frames=clip.frames, size=clip.width, fps=self.fps)
        models = Contestants.of(subject, Encoder)
        one = torch.zeros(1, clip.frames, clip.height, clip.width, 3, dtype=torch.uint8)
        grid = models.trained.token_grid(one)
        films = noisy_films(
            shape,
            clip.frames // grid.frames,
            count=self.films,
            television=self.television,
        )
        trained, untrained, pixels = (
            state_scores(features, films.states, splits=self.splits)
            for features in (
                cells_of_moments(token_volume(models.trained, films.clips)),
                cells_of_moments(token_volume(models.untrained, films.clips)),
                pixels_of_moments(films.clips, grid.frames),
            )
        )
        numbers = television_numbers(films, "", trained, {UNTRAINED: untrained, PIXELS: pixels})
        if isinstance(models.trained, LatentPredictor) and grid.frames > 1:
            numbers += self._foreseen(films, models, grid.frames)
        return television_result(numbers, films=self.films, splits=self.splits)

    def _foreseen(
        self, films: "NoisyFilms", models: "Contestants[Encoder]", moments: int
    ) -> tuple[Number, ...]:
        """The same of what is predicted of the later half, beside the last pixels before it."""
        from worldmodel_train.evaluation.atlas.tubelets import pixels_of_moments
        from worldmodel_train.evaluation.probing.noisy_films import cells_of_moments, foreseen
        from worldmodel_train.probes.states import state_scores

        later = moments - moments // 2
        assert isinstance(models.trained, LatentPredictor)
        assert isinstance(models.untrained, LatentPredictor), "they are of one class"
        seen = pixels_of_moments(films.clips, moments)[:, [moments // 2 - 1]]
        trained, untrained, pixels = (
            state_scores(features, films.later(later), splits=self.splits)
            for features in (
                cells_of_moments(foreseen(models.trained, films.clips)),
                cells_of_moments(foreseen(models.untrained, films.clips)),
                _told_which(seen, later),
            )
        )
        baselines = {UNTRAINED: untrained, PIXELS: pixels}
        return television_numbers(films, " foreseen", trained, baselines)


def _told_which(seen: "Float[ndarray, 'b 1 d']", later: int) -> "Float[ndarray, 'b later later*d']":
    """The same features for each later moment, in columns of its own: a map can tell which."""
    import numpy as np
    from einops import einsum

    return einsum(np.eye(later), seen[:, 0], "t s, b d -> b t s d").reshape(len(seen), later, -1)


def television_numbers(
    films: "NoisyFilms", when: str, trained: Scores, baselines: Mapping[str, Scores]
) -> tuple[Number, ...]:
    """Signal and noise beside each other."""
    return tuple(
        Number(
            name=f"R2 of the {part}{when}: {state.name}",
            lower_is_better=part == "noise",
            trained=Measured(values=trained[state.name]),
            baselines={
                name: Measured(values=scores[state.name]) for name, scores in baselines.items()
            },
        )
        for part, states in (("signal", films.signal), ("noise", films.noise))
        for state in states
    )


def television_result(numbers: tuple[Number, ...], *, films: int, splits: int) -> TaskResult:
    """The numbers in words."""
    return TaskResult(
        measured_on=f"{films} films with a television, {splits} ways to hold out",
        caption="Share of the variance that a linear map reads on unseen films: 1 is all.",
        numbers=numbers,
        sections=(
            Section(
                title="A noisy television",
                tables=contenders_tables("Mean ± spread over films held out", numbers),
                notes={
                    "Signal": "Where the thing is in a tubelet, and how fast it moves, read by "
                    "ridge regression from a tubelet's latents, averaged in cells of 4 by 4.",
                    "Noise": "The mean colour that the television shows in the same tubelet, "
                    "read alike. Nothing that comes depends on it: latents that have it spend "
                    "room on it.",
                    "Foreseen": "The same of later tubelets, read from what is predicted of them "
                    "by one who has seen the first half alone; pixels are those of its end.",
                },
            ),
        ),
    )

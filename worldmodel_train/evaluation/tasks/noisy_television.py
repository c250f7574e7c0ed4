"""Whether latents keep what can be predicted, and drop a television's noise, which cannot."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from pydantic import Field

from worldmodel_train.config import StrictConfig
from worldmodel_train.evaluation.task import HoldsOutClips, Offer, Subject
from worldmodel_train.evaluation.task_result import (
    UNTRAINED,
    Measured,
    Number,
    Section,
    TaskResult,
    contenders_tables,
)
from worldmodel_train.protocols import Encoder

if TYPE_CHECKING:
    from worldmodel_train.evaluation.probing.noisy_films import NoisyFilms

Scores: TypeAlias = Mapping[str, tuple[float, ...]]
PIXELS = "8x8 pixels, this tubelet and the one before"


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
        clip = offer.data.facts().measured_clip
        if clip.height != clip.width:
            size = f"{clip.height}x{clip.width}"
            yield f"films are square, and the clips of the recipe are {size}; leave it out"

    def run(self, subject: Subject) -> TaskResult:
        """The shares, on films of the length and size that the recipe's clips have."""
        import torch

        from worldmodel_train.envs.balls import FilmShape
        from worldmodel_train.evaluation.atlas.tubelets import (
            pixels_of_moments,
            quarters_of_moments,
            token_volume,
        )
        from worldmodel_train.evaluation.frozen import Contestants
        from worldmodel_train.evaluation.probing.noisy_films import noisy_films
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
                quarters_of_moments(token_volume(models.trained, films.clips)),
                quarters_of_moments(token_volume(models.untrained, films.clips)),
                pixels_of_moments(films.clips, grid.frames),
            )
        )
        return television_result(
            films, trained, {UNTRAINED: untrained, PIXELS: pixels}, splits=self.splits
        )


def television_result(
    films: "NoisyFilms", trained: Scores, baselines: Mapping[str, Scores], *, splits: int
) -> TaskResult:
    """Signal and noise beside each other."""
    numbers = tuple(
        Number(
            name=f"R2 of the {part}: {state.name}",
            lower_is_better=part == "noise",
            trained=Measured(values=trained[state.name]),
            baselines={
                name: Measured(values=scores[state.name]) for name, scores in baselines.items()
            },
        )
        for part, states in (("signal", films.signal), ("noise", films.noise))
        for state in states
    )
    return TaskResult(
        measured_on=f"{len(films.clips)} films with a television, {splits} ways to hold out",
        caption="Share of the variance that a linear map reads on unseen films: 1 is all.",
        numbers=numbers,
        sections=(
            Section(
                title="A noisy television",
                tables=contenders_tables("Mean ± spread over films held out", numbers),
                notes={
                    "Signal": "Where the thing is in a tubelet, and how fast it moves, read by "
                    "ridge regression from the mean latents of a tubelet's four quarters.",
                    "Noise": "The mean colour that the television shows in the same tubelet, "
                    "read alike. Nothing that comes depends on it: latents that have it spend "
                    "room on it.",
                },
            ),
        ),
    )

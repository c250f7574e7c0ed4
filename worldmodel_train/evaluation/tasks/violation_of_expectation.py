"""Whether a model is more surprised by what cannot happen than by what can (arXiv 2502.11831)."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field, model_validator

from worldmodel_train.config import StrictConfig
from worldmodel_train.envs.balls import Scene
from worldmodel_train.evaluation.surprise.impossible_films import (
    VIOLATIONS,
    FilmFormat,
    FilmSets,
    ViolationName,
    film_sets,
)
from worldmodel_train.evaluation.task import Offer, Subject
from worldmodel_train.evaluation.task_result import TRAINED, UNTRAINED, Gallery, TaskResult
from worldmodel_train.facts import ClipShape
from worldmodel_train.masks.draw import MaskPreparation
from worldmodel_train.protocols import LatentPredictor

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from torch import Tensor

    from worldmodel_train.evaluation.surprise.surprise import MatchedCurves, Window
    from worldmodel_train.evaluation.surprise.surprise_result import Surprised

PICTURES = "evaluation/violation_of_expectation"
"""Folder of the pictures, below the run directory."""


class Config(StrictConfig):
    """Films of one scene, alike until in some of them something happens that cannot be."""

    needs: ClassVar[type] = LatentPredictor
    needs_held_out: ClassVar[bool] = False

    violations: tuple[ViolationName, ...] = VIOLATIONS
    """What happens; `hidden_` ones while the thing is behind a screen."""
    sets: int = Field(default=32, ge=2)
    """Sets of matched films of each kind: two possible and two impossible ones."""
    scene: Scene = Scene()
    """What the films show, beside the screen or the wall that a violation needs."""
    fps: float = Field(default=8.0, gt=0)
    """Frames a second of the films; best those that the model was trained on."""
    clips: int = Field(default=3, ge=3)
    """Length of a film, in clips of the recipe's; it happens in the middle third."""
    visible: float = Field(default=0.5, gt=0, lt=1)
    """Share of a window's tubelets that are seen, the first ones; rounded to whole tubelets."""
    intphys: str | None = None
    """Folder of IntPhys' development set, whose films are measured, too; null for none."""
    intphys_every: int = Field(default=2, ge=1)
    """Every so many-th frame of these is used."""
    seed: int = Field(default=0, ge=0)
    """Of the films, alike for all models."""
    batch_size: int = Field(default=32, ge=1)
    """Windows per forward pass."""

    @model_validator(mode="after")
    def _there_is_something_to_violate(self) -> "Config":
        if not self.violations or len(set(self.violations)) < len(self.violations):
            raise ValueError(
                f"violations={list(self.violations)} must name one or more different ones, of: "
                f"{', '.join(VIOLATIONS)}"
            )
        if "reverse_gravity" in self.violations and self.scene.gravity == 0:
            raise ValueError(
                "reverse_gravity is nothing where scene.gravity=0; use 0.5, or leave it out"
            )
        return self

    def misfits(self, offer: Offer) -> Iterator[str]:
        """A method whose clips get no masks, and clips that are not square, or too short."""
        if not isinstance(offer.preparation, MaskPreparation):
            yield "predicts latents of masked clips, and this method masks none; leave it out"
            return
        clip = offer.data.facts().sources[0].clip
        if clip.height != clip.width:
            yield (
                f"films squares, and clips of the recipe are {clip.height}x{clip.width}; "
                "leave it out"
            )
        problem = self._too_short(clip.frames, offer.preparation.tubelet)
        yield from () if problem is None else (problem,)

    def run(self, subject: Subject) -> TaskResult:
        """Relative accuracies of both models and of pixels, curves, and one pair of each kind."""
        from worldmodel_train.evaluation.surprise.surprise_result import (
            Surprised,
            surprise_gallery,
            surprise_numbers,
            surprise_section,
        )

        assert isinstance(subject.preparation, MaskPreparation), "the recipe was checked"
        clip, tubelet = subject.data.facts().sources[0].clip, subject.preparation.tubelet
        window = self._window(clip.frames, tubelet)
        films = {name: self._films(name, clip) for name in self.violations}
        found = [
            Surprised(
                kind=name,
                curves=self._curves(subject, one.possible, one.impossible, window),
                onset=one.onset,
                times=window.times(self.clips * clip.frames),
            )
            for name, one in films.items()
        ]
        if self.intphys is not None:
            found += self._intphys(subject, Path(self.intphys), clip, window)
        curves = surprise_gallery(found, subject.run_dir, PICTURES, tubelet)
        strips = _strips(films, subject.run_dir, tubelet)
        return TaskResult(
            measured_on=f"{sum(one.num_sets for one in found)} sets of matched films of "
            f"{len(found)} kinds, in windows of {clip.frames} frames, {window.seen_frames} of them "
            "seen",
            caption="Share of sets whose impossible films surprise more; chance is 50 %. Kinds: "
            "by the mean over windows.",
            numbers=tuple(surprise_numbers(found)),
            sections=(surprise_section(found),),
            galleries=(strips,) if curves is None else (curves, strips),
        )

    def _films(self, name: ViolationName, clip: ClipShape) -> FilmSets:
        shot = FilmFormat(frames=self.clips * clip.frames, fps=self.fps, size=clip.width)
        return film_sets(name, self.scene, shot, count=self.sets, seed=self.seed)

    def _curves(
        self,
        subject: Subject,
        possible: "UInt8[Tensor, 'p n t h w c']",
        impossible: "UInt8[Tensor, 'p n t h w c']",
        window: "Window",
    ) -> "dict[str, MatchedCurves]":
        """Surprise of every contender at the films of each set."""
        from worldmodel_train.evaluation.frozen import Contestants
        from worldmodel_train.evaluation.surprise.surprise import (
            MatchedCurves,
            latent_error,
            pixel_error,
            surprise,
        )
        from worldmodel_train.evaluation.surprise.surprise_result import COPY, LINE

        models = Contestants.of(subject, LatentPredictor)
        errors = {
            TRAINED: latent_error(models.trained, window.num_seen, self.batch_size),
            UNTRAINED: latent_error(models.untrained, window.num_seen, self.batch_size),
            COPY: pixel_error(window.seen_frames, slope=0),
            LINE: pixel_error(window.seen_frames, slope=1),
        }
        return {
            name: MatchedCurves(
                possible=surprise(possible, window, error),
                impossible=surprise(impossible, window, error),
            )
            for name, error in errors.items()
        }

    def _intphys(
        self, subject: Subject, folder: Path, clip: ClipShape, window: "Window"
    ) -> "Iterator[Surprised]":
        """A kind for each block, of which a quadruplet is a set."""
        from worldmodel_train.evaluation.surprise.intphys import blocks, read_quadruplet
        from worldmodel_train.evaluation.surprise.surprise import MatchedCurves
        from worldmodel_train.evaluation.surprise.surprise_result import CONTENDERS, Surprised

        for block, quadruplets in blocks(folder).items():
            found: list[dict[str, MatchedCurves]] = []
            for one in quadruplets[: self.sets]:
                films = read_quadruplet(one, every=self.intphys_every, size=clip.width)
                if films.possible.shape[1] < clip.frames:
                    raise ValueError(
                        f"{one}: its films have {films.possible.shape[1]} frames that are used, "
                        f"fewer than a clip's {clip.frames}; use a lower "
                        "violation_of_expectation.intphys_every"
                    )
                found.append(
                    self._curves(subject, films.possible[None], films.impossible[None], window)
                )
            yield Surprised(
                kind=f"intphys_{block}",
                curves={
                    who: MatchedCurves(
                        possible=torch.cat([one[who].possible for one in found]),
                        impossible=torch.cat([one[who].impossible for one in found]),
                    )
                    for who in CONTENDERS
                },
                onset=None,
                times=(),
            )

    def _window(self, frames: int, tubelet: int) -> "Window":
        from worldmodel_train.evaluation.surprise.surprise import Window

        num_seen = round(self.visible * (frames // tubelet))
        return Window(frames=frames, tubelet=tubelet, num_seen=num_seen)

    def _too_short(self, frames: int, tubelet: int) -> str | None:
        window, tubelets = self._window(frames, tubelet), frames // tubelet
        if 0 < window.num_seen < tubelets and window.seen_frames >= 2:
            return None
        return (
            f"needs 2 frames to see and a tubelet to predict, and visible={self.visible:g} of the "
            f"{tubelets} tubelets of a clip leaves {window.num_seen} of them to see; give longer "
            "clips, or another share"
        )


def _strips(films: Mapping[str, FilmSets], run_dir: Path, tubelet: int) -> Gallery:
    """The first set of each kind, the first frame of each tubelet."""
    from worldmodel_train.cartography.tiling import tile
    from worldmodel_train.evaluation.pictures import save_pictures

    def sheet(one: FilmSets) -> "UInt8[Tensor, 'h w c']":
        rows = torch.stack([one.possible[0], one.impossible[0]], dim=1).flatten(0, 1)
        return tile(rows[:, ::tubelet])

    sheets = ((name.replace("_", " "), sheet(one)) for name, one in films.items())
    return Gallery(
        title="What cannot be",
        shows="Possible films, each above the impossible one that begins like it",
        note="The first set of each kind, the first frame of each tubelet. Rows: a possible film, "
        "below it the impossible one that is the same until it happens.",
        pictures=save_pictures(run_dir, f"{PICTURES}/films", sheets),
    )

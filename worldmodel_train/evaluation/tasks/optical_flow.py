"""Whether a model finds where things move, on films of a world of our own whose flow is known."""

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field, model_validator

from worldmodel_train.config import StrictConfig
from worldmodel_train.envs.balls import Scene
from worldmodel_train.evaluation.task import Offer, Subject, not_square
from worldmodel_train.evaluation.task_result import TRAINED, UNTRAINED, TaskResult
from worldmodel_train.protocols import EstimatesFlow


class Config(StrictConfig):
    """End-point error beside that of the untrained model, of no flow, and of Farneback's method."""

    needs: ClassVar[type] = EstimatesFlow
    needs_held_out: ClassVar[bool] = False

    films: int = Field(default=512, ge=1)
    """Films, of each of which the first two pictures are looked at."""
    fps: float = Field(default=8.0, gt=0)
    """Pictures a second; best those of the films that a run was trained on."""
    scene: Scene = Scene(radius=(0.09, 0.15), gravity=0.0, bounce=1.0, texture=True)
    """What the films show: as it is, what `lejepa_films` trains on."""
    windows: tuple[int, ...] = Field(default=(5, 9, 15), min_length=1)
    """Windows in pixels that Farneback's method is tried with; the best one counts."""
    batch_size: int = Field(default=64, ge=1)
    """Pairs per forward pass."""
    pictures: int = Field(default=6, ge=1)
    """Pairs that are shown."""

    @model_validator(mode="after")
    def _nothing_is_noise(self) -> "Config":
        if self.scene.television:
            raise ValueError("scene.television shows what has no flow; leave it out")
        return self

    def misfits(self, offer: Offer) -> Iterator[str]:
        """Clips that are not square."""
        yield from not_square(offer)

    def run(self, subject: Subject) -> TaskResult:
        """The errors, on pictures as large as the recipe's clips, and some flows in colours."""
        from worldmodel_train.envs.balls import FilmShape
        from worldmodel_train.evaluation.motion.end_points import (
            end_point_errors,
            farneback,
            model_flow,
            moved_pictures,
            no_flow,
        )
        from worldmodel_train.evaluation.motion.flow_result import (
            FARNEBACK,
            NO_FLOW,
            flow_gallery,
            flow_result,
        )

        shape = FilmShape(frames=2, size=subject.data.facts().measured_clip.width, fps=self.fps)
        truth = moved_pictures(self.scene, shape, self.films)
        assert isinstance(subject.trained, EstimatesFlow), "the recipe was checked"
        assert isinstance(subject.untrained, EstimatesFlow), "they are of one class"
        tried = [farneback(window)(truth) for window in self.windows]
        flows = {
            TRAINED: model_flow(subject.trained, self.batch_size)(truth),
            UNTRAINED: model_flow(subject.untrained, self.batch_size)(truth),
            NO_FLOW: no_flow(truth),
            FARNEBACK: min(tried, key=lambda flow: end_point_errors(flow, truth).moving),
        }
        errors = {who: end_point_errors(flow, truth) for who, flow in flows.items()}
        gallery = flow_gallery(flows, truth, self.pictures, subject.run_dir)
        return flow_result(errors, self.films).model_copy(update={"galleries": (gallery,)})

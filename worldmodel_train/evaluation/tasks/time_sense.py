"""Probes of what frozen features tell of time, on held-out videos, without any label."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, model_validator

from worldmodel_train.config import StrictConfig
from worldmodel_train.data.config import DataConfig
from worldmodel_train.evaluation.task import Offer, Subject
from worldmodel_train.evaluation.task_result import TaskResult
from worldmodel_train.protocols import Encoder

if TYPE_CHECKING:
    from worldmodel_train.evaluation.probing.probe_scores import ProbeSuite
    from worldmodel_train.evaluation.probing.time_versions import VersionFeatures


class Config(StrictConfig):
    """Do frozen features tell the arrow of time, the order of a film's parts, and its speed?"""

    needs: ClassVar[type] = Encoder
    needs_held_out: ClassVar[bool] = True

    max_videos: int = Field(default=200, ge=2)
    """Held-out videos, spread over the shards."""
    clips_per_video: int = Field(default=4, ge=1)
    """Windows of each, spread over its length; those of short videos overlap."""
    speeds: tuple[int, ...] = (1, 2, 4)
    """Playback speeds that are told apart, as multiples of the run's own, which comes first. A
    video must last as long as the fastest clip."""
    splits: int = Field(default=3, ge=2)
    """Parts that the videos are cut into; each is tested on in turn, with mean and standard
    deviation over them."""
    neighbours: int = Field(default=10, ge=1)
    """k of the k-NN probe."""
    batch_size: int = Field(default=16, ge=1)
    """Videos in memory at a time, and clips per forward pass."""

    @model_validator(mode="after")
    def _speeds_rise_from_one(self) -> "Config":
        if (
            len(self.speeds) < 2
            or self.speeds[0] != 1
            or list(self.speeds) != sorted(set(self.speeds))
        ):
            raise ValueError(
                f"speeds={list(self.speeds)} must be 1 and one or more that rise from it, such as "
                "[1, 2, 4]"
            )
        return self

    def misfits(self, offer: Offer) -> Iterator[str]:
        """Data that are not videos, and clips without time."""
        if not isinstance(offer.data, DataConfig):
            yield "asks about the time of videos, and the recipe reads none; leave it out"
        elif offer.data.held_out is not None and offer.data.held_out.clip.frames < 2:
            yield "asks about time, and clips of one frame have none; leave it out"

    def run(self, subject: Subject) -> TaskResult:
        """The accuracies for the three questions, of both encoders and of pixels."""
        from worldmodel_train.evaluation.frozen import Contestants
        from worldmodel_train.evaluation.probing.spread_videos import spread_videos
        from worldmodel_train.evaluation.probing.time_sense_result import time_sense_result
        from worldmodel_train.evaluation.probing.time_versions import TimeVersions, version_features

        assert isinstance(subject.data, DataConfig), "the recipe was checked"
        # all held-out videos serve, whatever they show
        data = subject.data.model_copy(update={"classes": None, "labels": "one"})
        source = data.held_out
        assert source is not None, "the recipe was checked"
        versions = TimeVersions(frames=source.clip.frames, speeds=self.speeds)
        clip = source.clip.model_copy(update={"frames": versions.window})
        measured = version_features(
            Contestants.of(subject, Encoder),
            spread_videos(
                data,
                source.model_copy(update={"clip": clip}),
                limit=self.max_videos,
                segments=self.clips_per_video,
            ),
            versions,
            batch_size=self.batch_size,
        )
        suite = self._probed(measured, versions.questions)
        return time_sense_result(suite, measured, self.speeds)

    def _probed(
        self, measured: "VersionFeatures", questions: Mapping[str, Sequence[str]]
    ) -> "ProbeSuite":
        """The accuracies of each question's probes; the suite counts videos."""
        from worldmodel_train.evaluation.probing.probe_scores import ProbeSuite
        from worldmodel_train.evaluation.probing.probe_suite import group_splits, run_probes

        num_videos = len(measured.videos.unique())
        if num_videos < self.splits:
            raise ValueError(
                f"time_sense: {num_videos} videos cannot be cut into splits={self.splits}; use "
                "fewer splits, lower speeds or more held-out videos"
            )
        num_test, tasks = num_videos // self.splits, []
        for question, shown in questions.items():
            data = measured.labelled(question, shown)
            parts = group_splits(data.groups, splits=self.splits, held_out=num_test)
            tasks += run_probes(data, list(parts), neighbours=self.neighbours).tasks
        return ProbeSuite(
            num_train=num_videos - num_test,
            num_test=num_test,
            num_splits=self.splits,
            tasks=tuple(tasks),
        )

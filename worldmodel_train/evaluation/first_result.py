"""`evaluation.json` as the first version wrote it, when evaluation was one fixed report."""

from collections.abc import Iterable, Iterator

from worldmodel_train.evaluation.latent_result import latent_result
from worldmodel_train.evaluation.latent_scores import Compared, LatentScores
from worldmodel_train.evaluation.probe_scores import ProbeSuite, probe_result
from worldmodel_train.evaluation.probe_words import pen_stroke_words
from worldmodel_train.evaluation.result import EvaluationResult, Machine, Measurement
from worldmodel_train.evaluation.task_result import Gallery, Picture, Record, TaskResult

_GALLERIES = {
    "masks": ("What is seen and what is predicted", "Frames with targets tinted"),
    "features": ("Features as colours", "Frames above trained and untrained features"),
    "neighbours": ("Nearest clips", "Query clips and their nearest clips"),
}


class FirstPicture(Picture):
    """A picture that names its section."""

    kind: str


class FirstResult(Record):
    """Everything that was measured, in fields of their own."""

    name: str
    num_clips: int
    num_videos: int
    mask_seeds: tuple[int, ...]
    mask_groups: tuple[str, ...]
    trained: LatentScores
    untrained: LatentScores
    probes: ProbeSuite | None
    pictures: tuple[FirstPicture, ...]
    machine: Machine
    seconds: float


def as_result(first: FirstResult) -> EvaluationResult:
    """The same as the tasks of today would have found it; settings and step were not noted."""
    measured = {"latent_prediction": _latents(first)}
    if first.probes is not None:
        measured["pen_strokes"] = probe_result(first.probes, pen_stroke_words)
    return EvaluationResult(
        name=first.name,
        measurements=tuple(
            Measurement(
                task=task,
                settings={},
                step=None,
                result=result,
                machine=first.machine,
                seconds=first.seconds,
            )
            for task, result in measured.items()
        ),
    )


def _latents(first: FirstResult) -> TaskResult:
    result = latent_result(
        Compared(trained=first.trained, untrained=first.untrained),
        num_clips=first.num_clips,
        num_videos=first.num_videos,
        mask_groups=first.mask_groups,
    )
    return result.model_copy(update={"galleries": tuple(_galleries(first.pictures))})


def _galleries(pictures: Iterable[FirstPicture]) -> Iterator[Gallery]:
    of_kind: dict[str, list[Picture]] = {}
    for one in pictures:
        picture = Picture.model_validate(one.model_dump(exclude={"kind"}))
        of_kind.setdefault(one.kind, []).append(picture)
    for kind, shown in of_kind.items():
        title, shows = _GALLERIES.get(kind, (kind, kind))
        yield Gallery(title=title, shows=shows, pictures=tuple(shown))

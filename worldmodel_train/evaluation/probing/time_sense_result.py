"""Numbers and words on what features tell of time."""

from functools import partial

from worldmodel_train.evaluation.probing.probe_scores import ProbeSuite, ProbeWords, probe_result
from worldmodel_train.evaluation.probing.time_versions import VersionFeatures
from worldmodel_train.evaluation.task_result import TaskResult, once


def time_sense_result(
    suite: ProbeSuite, measured: VersionFeatures, speeds: tuple[int, ...]
) -> TaskResult:
    """The probes' accuracies, chance among the baselines; the suite counts videos."""
    result = probe_result(suite, partial(_words, measured, speeds))
    chance = {task.label: task.chance for task in suite.tasks}
    numbers = (
        number.model_copy(
            update={
                "baselines": number.baselines | {"chance": once(chance[number.name.split(", ")[0]])}
            }
        )
        for number in result.numbers
    )
    return result.model_copy(update={"numbers": tuple(numbers)})


def _words(measured: VersionFeatures, speeds: tuple[int, ...], suite: ProbeSuite) -> ProbeWords:
    short = (
        f" {measured.num_short} videos are shorter than a window and left out."
        if measured.num_short
        else ""
    )
    return ProbeWords(
        title="What features tell of time",
        measured_on=f"{len(measured.videos)} windows of {suite.num_train + suite.num_test} "
        f"held-out videos, {suite.num_test} of these videos to be tested on",
        splits=f"{suite.num_splits} ways of holding videos out",
        caption="Accuracy in telling how a clip was shown, ± over videos held out.",
        text="Every window of a held-out video is shown in each of the ways that a question tells "
        "apart, so that a single frame says nothing or little, and no label is read. Arrow of "
        "time: forward or reversed. Temporal order: the window's two ends in order or swapped, a "
        f"cut between them either way. Playback speed: {' or '.join(map(str, speeds))} times that "
        "of the run's clips. All clips of a video are in one part: what a probe is tested on are "
        "videos that it never saw. The clips of a video are mostly answered alike, so it is videos "
        "that count, not clips; and where features tell nothing and videos are few, what holds of "
        "most that a probe learned from is rather the opposite of what holds of the rest: scores "
        f"well below chance say no more than chance does.{short}",
    )

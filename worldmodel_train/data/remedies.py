"""What a person can do about samples that cannot be used."""

from collections.abc import Mapping

from worldmodel_train.data.confinement import OUT_OF_MEMORY
from worldmodel_train.data.decoding.decode import CRASHED, TIMED_OUT, WITHOUT_ANSWER
from worldmodel_train.data.labels import ONLY_MANY, ONLY_ONE

_LABELS = {
    "bad_label": "Their labels are none of data.classes: name the classes.txt that `wmt data pack` "
    "wrote for these videos, or classes=null to read no labels",
    ONLY_MANY: "Their json has `labels`, a list, and no `label`: write data.labels=many",
    ONLY_ONE: "Their json has one `label` and no list of `labels`: write data.labels=one",
}


def remedy(skipped: Mapping[str, int]) -> str:
    """Advice for whoever met these reasons so often: about the machine if most are its fault."""
    if 2 * skipped.get("missing_json", 0) > sum(skipped.values()):
        return (
            "A sample is a video and a .json of the same name, such as 7.mp4 and 7.json; {} is "
            "enough in it. `wmt data pack` makes shards of videos alone"
        )
    for reason, advice in _LABELS.items():
        if 2 * skipped.get(reason, 0) > sum(skipped.values()):
            return advice
    lost = {reason: skipped.get(reason, 0) for reason in WITHOUT_ANSWER}
    if 2 * sum(lost.values()) <= sum(skipped.values()):
        return "Check the shards with `wmt data check`"
    if 2 * lost[OUT_OF_MEMORY] > sum(lost.values()):
        return "Decoding lacks memory: raise data.decoder.memory_mb, use fewer data.loader.workers"
    how = "times out" if lost[TIMED_OUT] >= lost[CRASHED] else "crashes"
    return (
        f"Decoding {how}, because the machine is overloaded or the decoder broken: raise "
        "data.decoder.timeout_s, use fewer data.loader.workers, try another data.decoder.name"
    )

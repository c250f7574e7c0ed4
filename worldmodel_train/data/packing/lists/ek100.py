"""EPIC-KITCHENS-100: `EPIC_100_train.csv` and `_validation.csv` beside the lists of classes.

Each action is a sample: the stretch of its whole video from its start to its stop, or the window
that is asked for. Its labels are a verb, a noun and both together, and this is its one label, too.
"""

from dataclasses import replace
from pathlib import Path

from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.list_files import beside, csv_rows, whole
from worldmodel_train.data.packing.listed import Library, Listed
from worldmodel_train.data.packing.times import seconds

_COLUMNS = (
    *("narration_id", "video_id", "start_timestamp", "stop_timestamp"),
    *("verb_class", "noun_class"),
)


def read(path: Path, root: Path) -> Listed:
    """The actions of one split; classes are all verbs, all nouns, then the split's actions.

    Actions are in the order of their verb's number, then of their noun's.
    """
    rows = csv_rows(path, _COLUMNS)
    verbs = _names(beside(path, "EPIC_100_verb_classes.csv"))
    nouns = _names(beside(path, "EPIC_100_noun_classes_v2.csv", "EPIC_100_noun_classes.csv"))
    library = Library(root)
    entries = []
    pairs: set[tuple[int, int]] = set()
    for number, row in enumerate(rows, start=1):
        place = f"{path}: row {number}"
        pair = _class(row, "verb", verbs, place), _class(row, "noun", nouns, place)
        pairs.add(pair)
        verb, noun = verbs[pair[0]], nouns[pair[1]]
        action = f"action {verb} {noun}"
        entries.append(
            replace(
                library.entry(row["video_id"].strip(), ".MP4"),
                name=row["narration_id"].strip(),
                label=action,
                labels=(f"verb {verb}", f"noun {noun}", action),
                start=seconds(row["start_timestamp"].strip(), f"{place}: start_timestamp"),
                end=seconds(row["stop_timestamp"].strip(), f"{place}: stop_timestamp"),
            )
        )
    classes = (
        *(f"verb {verb}" for verb in verbs),
        *(f"noun {noun}" for noun in nouns),
        *(f"action {verbs[verb]} {nouns[noun]}" for verb, noun in sorted(pairs)),
    )
    return library.listed(entries, classes)


def _names(path: Path) -> list[str]:
    """The key of each class, at the place of its number."""
    rows = csv_rows(path, ("id", "key"))
    names = {whole(row["id"].strip(), f"{path}: id"): row["key"].strip() for row in rows}
    if sorted(names) != list(range(len(rows))):
        raise PackError(f"{path}: its ids are not 0 to {len(rows) - 1}, once each; get it again")
    return [names[number] for number in range(len(rows))]


def _class(row: dict[str, str], kind: str, names: list[str], place: str) -> int:
    number = whole(row[f"{kind}_class"].strip(), f"{place}: {kind}_class")
    if number >= len(names):
        raise PackError(
            f"{place}: {kind}_class={number}, but there are {len(names)} {kind}s; get the list of "
            "actions and those of classes from one release"
        )
    return number

"""ImageNet-1k: which file is named says which part is packed; a class is its WordNet id.

LOC_synset_mapping.txt: training pictures, in a folder for each class.
LOC_val_solution.csv: validation pictures, with the mapping beside it.
ILSVRC2012_validation_ground_truth.txt: the same by the development kit, with meta.mat beside it.
"""

from dataclasses import replace
from pathlib import Path

from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.folder_entries import folder_entries
from worldmodel_train.data.packing.list_files import beside, csv_rows, text_lines, whole
from worldmodel_train.data.packing.listed import Library, Listed
from worldmodel_train.data.video_files import IMAGE_SUFFIXES

_MAPPING = "LOC_synset_mapping.txt"
_KIT = "ILSVRC2012_validation_ground_truth.txt"


def read(path: Path, root: Path) -> Listed:
    """The pictures of one part; the classes are in the order of their ids."""
    if path.suffix == ".csv":
        return _solution(path, root)
    return _kit(path, root) if path.name == _KIT else _folders(path, root)


def _folders(mapping: Path, root: Path) -> Listed:
    classes = _ids(mapping)
    if not any((root / name).is_dir() for name in classes):
        raise PackError(f"{root}: has no folder {classes[0]}; --root names the folder of those")
    known = set(classes)
    strange = ("class", f"its folder is named as no class of {mapping.name}")
    entries = [
        entry if entry.label in known or entry.left_out else replace(entry, left_out=strange)
        for entry in folder_entries(root, IMAGE_SUFFIXES)
    ]
    named = [replace(e, name=None if e.left_out else e.path.stem) for e in entries]
    return Listed(entries=named, classes=classes)


def _solution(path: Path, root: Path) -> Listed:
    rows = csv_rows(path, ("ImageId", "PredictionString"))
    labels = {row["ImageId"].strip(): row["PredictionString"].split()[0] for row in rows}
    return _validation(path, root, labels, _ids(beside(path, _MAPPING)))


def _kit(path: Path, root: Path) -> Listed:
    ids = _kit_ids(beside(path, "meta.mat"))
    labels: dict[str, str] = {}
    for number, line in enumerate(text_lines(path), start=1):
        place = f"{path}: line {number}"
        kit_id = whole(line, place)
        if kit_id not in ids:
            raise PackError(f"{place}={kit_id} is no class of meta.mat; get the kit again")
        labels[f"ILSVRC2012_val_{number:08d}"] = ids[kit_id]
    return _validation(path, root, labels, tuple(sorted(ids.values())))


def _validation(path: Path, root: Path, labels: dict[str, str], classes: tuple[str, ...]) -> Listed:
    if strangers := sorted(set(labels.values()) - set(classes)):
        raise PackError(
            f"{path}: {strangers[0]} is no class of the set; get its files from one release"
        )
    library = Library(root, IMAGE_SUFFIXES)
    entries = [replace(library.entry(key, ".JPEG"), label=name) for key, name in labels.items()]
    return library.listed(entries, classes)


def _ids(mapping: Path) -> tuple[str, ...]:
    """The first word of each line."""
    ids = [line.split()[0] for line in text_lines(mapping)]
    if not ids or any(not name.startswith("n") or not name[1:].isdecimal() for name in ids):
        raise PackError(
            f"{mapping}: its lines do not begin with WordNet ids; name {_MAPPING}, "
            f"LOC_val_solution.csv or {_KIT}"
        )
    return tuple(sorted(ids))


def _kit_ids(path: Path) -> dict[int, str]:
    """The WordNet id of each of the kit's own numbers, those of the 1000 classes."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        synsets = loadmat(path, squeeze_me=True, variable_names=["synsets"])["synsets"]
        rows = zip(synsets["ILSVRC2012_ID"], synsets["WNID"], synsets["num_children"], strict=True)
        # those with children stand for groups of classes
        return {int(number): str(wnid) for number, wnid, children in rows if int(children) == 0}
    except (MatReadError, ValueError, KeyError, TypeError, NotImplementedError) as error:
        raise PackError(f"{path}: is not the kit's ({error}); get the kit again") from None

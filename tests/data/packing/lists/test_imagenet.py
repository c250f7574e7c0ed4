import cv2
import numpy as np
import pytest
from scipy.io import savemat

from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.read_list import read_list

MAPPING = "n01440764 tench, Tinca tinca\nn02012849 crane\nn03126707 crane\n"
IDS = ["n01440764", "n02012849", "n03126707"]


@pytest.fixture
def kaggle(tmp_path):
    """Two classes with a training picture each, two validation pictures."""
    picture = cv2.imencode(".jpg", np.full((16, 24, 3), 90, np.uint8))[1].tobytes()
    for name in (
        *("train/n01440764/n01440764_1.JPEG", "train/n03126707/n03126707_7.JPEG"),
        *("val/ILSVRC2012_val_00000001.JPEG", "val/ILSVRC2012_val_00000002.JPEG"),
    ):
        path = tmp_path / "CLS-LOC" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
    (tmp_path / "LOC_synset_mapping.txt").write_text(MAPPING)
    (tmp_path / "LOC_val_solution.csv").write_text(
        "ImageId,PredictionString\n"
        "ILSVRC2012_val_00000002,n03126707 1 2 3 4 n03126707 5 6 7 8 \n"
        "ILSVRC2012_val_00000003,n01440764 1 2 3 4 \n"
        "ILSVRC2012_val_00000001,n02012849 1 2 3 4 \n"
    )
    return tmp_path


def write_kit(folder, ids=("n03126707", "n01440764", "n02012849")):
    """A kit, which numbers the classes in an order of its own, and a group of classes."""
    kinds = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
    rows = [(n, wnid, "word", 0) for n, wnid in enumerate(ids, start=1)]
    synsets = np.array([*rows, (1001, "n00001740", "entity", 2)], dtype=kinds)
    savemat(folder / "meta.mat", {"synsets": synsets.reshape(-1, 1)})
    path = folder / "ILSVRC2012_validation_ground_truth.txt"
    path.write_text("3\n1\n")
    return path


def test_training_pictures_lie_in_folders_of_their_classes(kaggle, pack_list):
    (kaggle / "CLS-LOC/train/other").mkdir()
    (kaggle / "CLS-LOC/train/other/x.JPEG").touch()
    packed = pack_list("imagenet", kaggle / "LOC_synset_mapping.txt", kaggle / "CLS-LOC/train")
    assert packed.labels == {
        "n01440764/n01440764_1.JPEG": "n01440764",
        "n03126707/n03126707_7.JPEG": "n03126707",
    }
    assert packed.classes == IDS
    assert packed.rejects == {"x.JPEG": "class"}


def test_validation_pictures_have_the_class_of_the_solution(kaggle, pack_list):
    packed = pack_list("imagenet", kaggle / "LOC_val_solution.csv", kaggle / "CLS-LOC/val")
    assert packed.labels == {
        "ILSVRC2012_val_00000002.JPEG": "n03126707",
        "ILSVRC2012_val_00000001.JPEG": "n02012849",
    }
    assert packed.classes == IDS
    assert packed.rejects == {"ILSVRC2012_val_00000003.JPEG": "missing"}


def test_numbers_of_the_development_kit_are_looked_up_in_its_table(kaggle):
    truth = write_kit(kaggle)
    listed = read_list("imagenet", str(truth), kaggle / "CLS-LOC/val")
    assert [(e.path.stem[-1], e.label) for e in listed.entries] == [
        ("1", "n02012849"), ("2", "n03126707"),
    ]  # fmt: skip
    assert listed.classes == tuple(IDS)


def test_a_table_that_is_none_is_named(kaggle):
    truth = write_kit(kaggle)
    (kaggle / "meta.mat").write_bytes(b"nonsense")
    with pytest.raises(PackError, match=r"meta\.mat: is not the kit's"):
        read_list("imagenet", str(truth), kaggle / "CLS-LOC/val")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("LOC_synset_mapping.txt", "tench\n", "do not begin with WordNet ids"),
        ("LOC_synset_mapping.txt", "n01440764\nn02012849\n", "n03126707 is no class of the set"),
        ("LOC_val_solution.csv", "ImageId\nx\n", "has no column 'PredictionString'"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_what_is_wrong(kaggle, name, content, words):
    (kaggle / name).write_text(content)
    with pytest.raises(PackError) as error:
        read_list("imagenet", str(kaggle / "LOC_val_solution.csv"), kaggle / "CLS-LOC/val")
    assert str(kaggle) in str(error.value)
    assert words in str(error.value)


def test_a_folder_without_folders_of_classes_is_refused_with_the_option(kaggle):
    with pytest.raises(PackError, match="has no folder n01440764; --root names"):
        read_list("imagenet", str(kaggle / "LOC_synset_mapping.txt"), kaggle / "CLS-LOC")

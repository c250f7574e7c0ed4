import json

import cv2
import numpy as np
import pytest

from worldmodel_train.evaluation.surprise.intphys import blocks, read_quadruplet


@pytest.fixture
def dev(tmp_path):
    """Two quadruplets of films of six grey frames; the second and third film are possible."""
    for quadruplet in ("01", "02"):
        for number in range(1, 5):
            folder = tmp_path / "O1" / quadruplet / str(number)
            (folder / "scene").mkdir(parents=True)
            status = {"header": {"is_possible": number in (2, 3)}, "frames": []}
            (folder / "status.json").write_text(json.dumps(status))
            for frame in range(6):
                picture = np.full((12, 12, 3), (0, 40 * number, 10 * frame), np.uint8)
                cv2.imwrite(str(folder / "scene" / f"scene_{frame + 1:03d}.png"), picture)
    (tmp_path / "O1" / "readme.txt").touch()
    return tmp_path


def test_possible_films_are_told_from_impossible_ones_by_their_status(dev):
    found = blocks(dev)
    assert {name: [one.name for one in all_] for name, all_ in found.items()} == {
        "O1": ["01", "02"]
    }
    films = read_quadruplet(found["O1"][0], every=2, size=8)
    assert films.block == "O1"
    assert films.possible.shape == films.impossible.shape == (2, 3, 8, 8, 3)
    assert films.possible[:, 0, 0, 0, 1].tolist() == [80, 120]
    assert films.impossible[:, 0, 0, 0, 1].tolist() == [40, 160]
    assert films.possible[0, :, 0, 0].tolist() == [[0, 80, 0], [20, 80, 0], [40, 80, 0]]  # RGB


def test_a_folder_that_is_another_is_refused_with_what_it_should_hold(tmp_path):
    with pytest.raises(ValueError, match=r"no BLOCK/QUADRUPLET/1/status\.json; name the folder"):
        blocks(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("status", "complaint"),
    [
        ('{"header": {}}', r"1/status\.json: header\.is_possible is None"),
        ('{"header": {"is_possible": true}}', "01: 3 of 4 films are possible"),
    ],
)
def test_labels_that_are_missing_or_do_not_fit_are_refused_with_the_file(dev, status, complaint):
    (dev / "O1" / "01" / "1" / "status.json").write_text(status)
    with pytest.raises(ValueError, match=complaint):
        read_quadruplet(dev / "O1" / "01", every=1, size=8)


def test_films_that_are_missing_are_named(dev):
    scene = dev / "O1" / "01" / "4" / "scene"
    (scene / "scene_003.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"4/scene/scene_003\.png is no picture"):
        read_quadruplet(dev / "O1" / "01", every=1, size=8)
    for path in scene.iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=r"4/scene has no \*\.png"):
        read_quadruplet(dev / "O1" / "01", every=1, size=8)

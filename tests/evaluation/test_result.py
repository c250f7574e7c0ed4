"""The file of results: whole, strict, and read where an earlier version wrote it."""

import json
import math

import pytest

from worldmodel_train.evaluation.result import load_result, save_result
from worldmodel_train.evaluation.task_result import Measured, once


def test_a_result_comes_back_from_its_file_as_it_was(result, tmp_path):
    path = save_result(result, tmp_path)
    assert load_result(tmp_path) == result
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_what_a_task_finds_again_replaces_what_it_found_and_others_stay(result, measurement):
    latents, probes = result.measurements
    again = measurement("pen_strokes", latents.result, step=800)
    merged = result.with_measurements([again, measurement("other", latents.result)])
    assert [one.task for one in merged.measurements] == [
        "latent_prediction",
        "pen_strokes",
        "other",
    ]
    assert merged.measurements[0] == latents
    assert merged.measurements[1] == again != probes


def test_what_was_measured_of_another_checkpoint_can_be_left_out(result, measurement):
    _, probes = result.measurements
    later = result.with_measurements([measurement("pen_strokes", probes.result, step=800)])
    assert [one.task for one in later.at_step(800).measurements] == ["pen_strokes"]
    assert later.at_step(400).measurements == result.measurements[:1]


def test_nan_is_written_as_strict_json_and_read_back(result, tmp_path):
    latents = result.measurements[0]
    number = latents.result.numbers[0].model_copy(update={"trained": once(math.nan)})
    found = latents.result.model_copy(update={"numbers": (number,)})
    latents = latents.model_copy(update={"result": found})
    path = save_result(result.with_measurements([latents]), tmp_path)
    json.loads(path.read_text(), parse_constant=pytest.fail)
    assert math.isnan(load_result(tmp_path).measurements[0].result.numbers[0].trained.mean)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"measured_on"', '"measured"', r"measurements\.0\.result\.measured_on: missing"),
        ('"version": 2', '"version": 3', "version: 3 is not a choice here"),
        ('"version": 2,', "", "num_clips: missing"),
        ("{", "[", "is not JSON"),
        ('"galleries": []', '"galleries": [{"title": "", "shows": "", "pictures": [{"title": "", '
         '"width": 1, "height": 1, "file": "../secret.png"}]}]', r"pictures\.0\.file"),
    ],
)  # fmt: skip
def test_a_damaged_result_is_named_with_the_remedy(result, tmp_path, old, new, problem):
    path = save_result(result, tmp_path)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=rf"evaluation\.json: .*{problem}.*`wmt eval ") as caught:
        load_result(tmp_path)
    assert "pydantic" not in str(caught.value)


FIRST = {
    "num_clips": 72,
    "num_videos": 9,
    "mask_seeds": [0, 1],
    "mask_groups": ["num_blocks=4 <b>"],
    "pictures": [{"kind": "masks", "title": "mask group 1", "file": "evaluation/masks_00.png",
                  "width": 2, "height": 1}],
    "seconds": 12.0,
}  # fmt: skip


@pytest.mark.parametrize("with_probes", [True, False])
def test_what_the_first_version_wrote_is_read_as_the_tasks_of_today(
    result, compared, suite, tmp_path, with_probes
):
    latents, probes = result.measurements
    first = FIRST | {
        "name": result.name,
        "trained": compared.trained.model_dump(),
        "untrained": compared.untrained.model_dump(),
        "probes": suite.model_dump() if with_probes else None,
        "machine": latents.machine.model_dump(),
    }
    (tmp_path / "evaluation.json").write_text(json.dumps(first))
    read = load_result(tmp_path)
    galleries = read.measurements[0].result.galleries
    assert [picture.file for one in galleries for picture in one.pictures] == [
        "evaluation/masks_00.png"
    ]
    found = [one.result.model_copy(update={"galleries": ()}) for one in read.measurements]
    assert found == ([latents.result, probes.result] if with_probes else [latents.result])
    assert {one.step for one in read.measurements} == {None}


def test_a_number_that_was_never_measured_is_none():
    with pytest.raises(ValueError, match="at least 1 item"):
        Measured(values=())

from dataclasses import replace

import pytest
import torch

from tests.training import toy_run as toy
from worldmodel_train.models.strict_state import CheckpointError
from worldmodel_train.training.checkpoints.folder import CheckpointFolder, find_checkpoint
from worldmodel_train.training.checkpoints.imported import save_imported
from worldmodel_train.training.resume import differing_keys, find_last

OLD = "train: {steps: 8, seed: 1}\ndata: {loader: {workers: 2, shuffle_buffer: 9}}\nmasks: [1]\n"


@pytest.fixture
def run_dir(tmp_path):
    save_imported(CheckpointFolder(tmp_path), {"w": torch.zeros(2)}, OLD)
    return tmp_path


@pytest.fixture
def find():
    """find_last as a run of a recipe does it, with `added` to what an older version wrote."""

    def call(run_dir, recipe_yaml, resume="auto", added=""):
        parts = toy.toy_parts(run_dir, resume=resume)
        return find_last(
            replace(
                parts,
                recipe_yaml=recipe_yaml,
                read_recipe=lambda path: path.read_text() + added,
            )
        )

    return call


def test_a_run_goes_on_from_its_last_checkpoint(find, run_dir, tmp_path):
    assert find(run_dir, OLD) == CheckpointFolder(run_dir).at(0)
    assert find(tmp_path / "new", OLD) is None


def test_what_got_a_default_after_a_run_began_does_not_stop_it(find, run_dir):
    assert find(run_dir, OLD + "new: 1\n", added="new: 1\n") == CheckpointFolder(run_dir).at(0)
    with pytest.raises(ValueError, match="new: 1 -> 2"):
        find(run_dir, OLD + "new: 2\n", added="new: 1\n")


def test_a_run_dir_of_another_recipe_is_refused_with_all_keys_that_differ(find, run_dir):
    new = OLD.replace("seed: 1", "seed: 2").replace("[1]", "[1, 2]") + "extra: {key: 1}\n"
    with pytest.raises(ValueError, match="another recipe") as caught:
        find(run_dir, new)
    for line in ("train.seed: 1 -> 2", "masks: [1] -> [1, 2]", "extra.key: absent -> 1"):
        assert line in str(caught.value)


@pytest.mark.parametrize("name", ["recipe.yaml", "meta.json"])
def test_a_damaged_file_is_not_taken_for_another_recipe(find, run_dir, name):
    path = CheckpointFolder(run_dir).at(0) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 2
    path.write_bytes(content)
    problem = rf"{name}.*the checkpoint is damaged.*there are: step_00000000"
    with pytest.raises(CheckpointError, match=problem):
        find(run_dir, OLD)


def test_what_changes_neither_samples_nor_loss_may_differ():
    new = OLD.replace("steps: 8", "steps: 9").replace("workers: 2", "workers: 3")
    assert differing_keys(OLD, new + "log: {every_steps: 3}\n") == []
    decoder = "data: {{decoder: {{timeout_s: {0}, memory_mb: {0}}}}}"
    assert differing_keys(decoder.format(64), decoder.format(65)) == []
    assert differing_keys(OLD, OLD.replace("buffer: 9", "buffer: 8")) != []


def test_resume_never_refuses_a_run_dir_in_use(find, run_dir):
    with pytest.raises(ValueError, match="--resume auto"):
        find(run_dir, OLD, resume="never")


def test_init_takes_a_checkpoint_or_a_run(run_dir):
    checkpoint = CheckpointFolder(run_dir).at(0)
    assert find_checkpoint(run_dir, "key") == checkpoint
    assert find_checkpoint(checkpoint, "key") == checkpoint


def test_init_from_nothing_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"train\.init\.checkpoint=.*nowhere"):
        find_checkpoint(tmp_path / "nowhere", "train.init.checkpoint")

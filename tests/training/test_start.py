import pytest

from worldmodel_train.models.strict_state import CheckpointError
from worldmodel_train.training.checkpoint import CheckpointFolder
from worldmodel_train.training.checkpoint_files import RunState
from worldmodel_train.training.config import InitConfig
from worldmodel_train.training.start import differing_keys, find_init, find_last

OLD = "train: {steps: 8, seed: 1}\ndata: {loader: {workers: 2, shuffle_buffer: 9}}\nmasks: [1]\n"


@pytest.fixture
def run_dir(tmp_path):
    state = RunState(step=1, samples_seen=4, weights={}, optimizer={}, watch={})
    CheckpointFolder(tmp_path).save(state, OLD)
    return tmp_path


def test_a_run_goes_on_from_its_last_checkpoint(run_dir, tmp_path):
    assert find_last(run_dir, OLD, "auto") == CheckpointFolder(run_dir).at(1)
    assert find_last(tmp_path / "new", OLD, "auto") is None


def test_a_run_dir_of_another_recipe_is_refused_with_all_keys_that_differ(run_dir):
    new = OLD.replace("seed: 1", "seed: 2").replace("[1]", "[1, 2]") + "extra: {key: 1}\n"
    with pytest.raises(ValueError, match="another recipe") as caught:
        find_last(run_dir, new, "auto")
    for line in ("train.seed: 1 -> 2", "masks: [1] -> [1, 2]", "extra.key: absent -> 1"):
        assert line in str(caught.value)


def test_what_changes_neither_samples_nor_loss_may_differ():
    new = OLD.replace("steps: 8", "steps: 9").replace("workers: 2", "workers: 3")
    assert differing_keys(OLD, new + "log: {every_steps: 3}\n") == []
    assert differing_keys(OLD, OLD.replace("buffer: 9", "buffer: 8")) != []


def test_resume_never_refuses_a_run_dir_in_use(run_dir):
    with pytest.raises(ValueError, match="--resume auto"):
        find_last(run_dir, OLD, "never")


def test_init_takes_a_checkpoint_or_a_run(run_dir):
    checkpoint = CheckpointFolder(run_dir).at(1)
    assert find_init(InitConfig(checkpoint=run_dir, optimizer=True)) == checkpoint
    assert find_init(InitConfig(checkpoint=checkpoint, optimizer=True)) == checkpoint


def test_init_from_nothing_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"train\.init\.checkpoint=.*nowhere"):
        find_init(InitConfig(checkpoint=tmp_path / "nowhere", optimizer=False))

import pytest

from worldmodel_train.training.run_lock import run_lock


def test_a_run_dir_is_held_by_one_process_at_a_time(tmp_path):
    with (
        run_lock(tmp_path),
        pytest.raises(ValueError, match="in use by another process"),
        run_lock(tmp_path),
    ):
        pass
    with run_lock(tmp_path):
        assert (tmp_path / ".lock").exists()

import pytest
import torch

from benchmarks import episodes
from benchmarks.results import IncorrectError
from worldmodel_train.data.trajectories.write import write_episodes


@pytest.fixture
def folder(tmp_path):
    write_episodes(tmp_path, [episodes._episode(number, 5) for number in range(3)])
    return tmp_path


def test_a_window_that_is_another_where_episodes_are_kept_is_refused(folder, monkeypatch):
    monkeypatch.setattr(episodes, "EPISODES", 3)
    episodes.check(folder)
    right = episodes.batches

    def flipped(folder, kept_mb):
        for batch in right(folder, kept_mb):
            batch.content.observations[-1, 0, 0, 0, 0] ^= kept_mb > 0
            yield batch

    monkeypatch.setattr(episodes, "batches", flipped)
    with pytest.raises(IncorrectError, match="a window of a kept episode is another"):
        episodes.check(folder)


@pytest.mark.slow
def test_each_length_has_a_row(monkeypatch, capsys):
    monkeypatch.setattr(episodes, "EPISODES", 3)
    monkeypatch.setattr(episodes, "ROUNDS", 1)
    row = episodes.row_of(5, torch.device("cpu"))
    assert row[:2] == ["5", "0.0614"]
    assert len(row) == 8

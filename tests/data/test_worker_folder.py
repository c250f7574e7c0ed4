import multiprocessing
import os
import signal
import tempfile
from multiprocessing import util
from pathlib import Path

import pytest

from worldmodel_train.data.worker_folder import remove_folder_as_an_orphan, worker_folder

# Python 3.12 and later warn of forks beside threads; torch's loader forks as well
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_processes_that_are_forked_inside_share_one_folder_which_is_removed(place):
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    with worker_folder():
        child = fork.Process(target=lambda: theirs.send(util.get_temp_dir()))
        child.start()
        child.join()
        [folder] = place.iterdir()
        assert ours.recv() == str(folder)
    assert list(place.iterdir()) == []


def test_sockets_have_room_for_their_names_where_tmpdir_has_a_long_path(monkeypatch, tmp_path):
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with worker_folder():
        folder = util.get_temp_dir()
        assert len(f"{folder}/listener-12345678") < 108
    assert not Path(folder).exists()


def _parent(ready) -> None:
    """Forks a worker that waits until this process is gone."""
    with worker_folder():
        worker = multiprocessing.get_context("fork").Process(target=_worker, args=(ready,))
        worker.start()
        worker.join()


def _worker(ready) -> None:
    parent = os.getppid()
    remove_folder_as_an_orphan()
    ready.send(os.getpid())
    while os.getppid() == parent:
        signal.sigtimedwait([], 0.01)


def test_a_worker_removes_the_folder_when_its_parent_was_killed(place):
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    parent = fork.Process(target=_parent, args=(theirs,))
    parent.start()
    theirs.close()
    ours.recv()
    assert len(list(place.iterdir())) == 1
    parent.kill()
    parent.join()
    with pytest.raises(EOFError):
        ours.recv()  # all ends are closed: the worker has ended as well
    assert list(place.iterdir()) == []

import os
import subprocess
import sys

import pytest

from worldmodel_train.training.gpu_memory import let_segments_grow

NAMES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")


@pytest.fixture
def settings(monkeypatch):
    """Nothing is set; says what is."""
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that what is there now comes back
        monkeypatch.delenv(name)
    return lambda: {name: os.environ[name] for name in NAMES if name in os.environ}


def test_segments_grow_where_nothing_else_is_asked_for(settings):
    let_segments_grow()
    assert settings() == {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}


@pytest.mark.parametrize("name", NAMES)
def test_what_the_user_has_set_stays(settings, monkeypatch, name):
    monkeypatch.setenv(name, "max_split_size_mb:128")
    let_segments_grow()
    assert settings() == {name: "max_split_size_mb:128"}


def test_it_is_said_before_torch_is_imported():
    code = "import sys, worldmodel_train.training.gpu_memory, worldmodel_train.cli"
    ask = f"{code}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", ask], check=False).returncode == 0

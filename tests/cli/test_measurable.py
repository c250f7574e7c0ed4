"""What can be measured, and where the results go."""

import pytest
import torch

from worldmodel_train.cli.measurable import measurable
from worldmodel_train.training.checkpoints.files import Progress
from worldmodel_train.training.checkpoints.folder import CheckpointFolder


@pytest.fixture
def run_dir(tmp_path):
    """A run with checkpoints of steps 1 and 2."""
    folder = CheckpointFolder(tmp_path / "run")
    for step in (1, 2):
        progress = Progress(
            step=step, samples_seen=0, optimizer_step=None, shapes={}, watch={}, streams={}
        )
        folder.publish(folder.prepare(step), progress, "", {})
    return tmp_path / "run"


def test_the_last_checkpoint_is_the_runs_own(run_dir):
    last = run_dir / "checkpoints" / "step_00000002"
    assert measurable(run_dir).checkpoint == last
    assert measurable(last) == measurable(run_dir)
    assert measurable(last).results == run_dir


def test_results_of_an_earlier_checkpoint_lie_apart_from_the_last_ones(run_dir):
    earlier = measurable(run_dir / "checkpoints" / "step_00000001")
    assert earlier.run_dir == run_dir
    assert earlier.results == run_dir / "evaluation" / "step_00000001"
    assert earlier.results.is_dir()


def test_what_tells_no_model_is_refused_with_what_to_do(tmp_path, run_dir):
    weights = tmp_path / "vitl.pt"
    torch.save({}, weights)
    with pytest.raises(ValueError, match=f"`wmt import RECIPE {weights} OUT`"):
        measurable(weights)
    with pytest.raises(ValueError, match="name a run directory such as runs/demo"):
        measurable(tmp_path / "typo")
    with pytest.raises(ValueError, match="--out=x is for a Hugging Face folder"):
        measurable(run_dir, type(tmp_path)("x"))

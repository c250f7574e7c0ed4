"""Weights leave and come back by one file, for every method that a recipe can name."""

import pytest
import torch

from tests.contracts.methods import CONFIGS, build, content_for, losses_of, train
from worldmodel_train.interop import CheckpointError, export_merged, import_merged
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.imported import save_imported
from worldmodel_train.training.checkpoints.reader import read_weights


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS.keys())
def config(request):
    return request.param


def exported(objective, folder):
    """The file that `wmt export` makes of a checkpoint."""
    checkpoint = save_imported(CheckpointFolder(folder), objective.state_dict(), "name: a\n")
    export_merged(read_weights(checkpoint), folder / "merged.safetensors")
    return folder / "merged.safetensors"


def test_a_trained_method_comes_back_bit_equal_and_computes_the_same(config, tmp_path):
    torch.manual_seed(0)
    objective = build(config)
    content = content_for(config, objective)
    train(objective, content, steps=1)  # running statistics are not as they began either
    torch.manual_seed(1)
    other = build(config)
    report = import_merged(exported(objective, tmp_path), other)
    expected, found = objective.state_dict(), other.state_dict()
    assert f"{len(expected)} tensors" in report
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name
    assert torch.equal(losses_of(other, content).total, losses_of(objective, content).total)


def test_another_size_is_refused_and_nothing_is_loaded(tmp_path):
    config = CONFIGS["jepa/simclr"]
    torch.manual_seed(0)
    path = exported(build(config), tmp_path)
    other = build(config.model_copy(update={"projector_widths": (64, 17)}))
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"projector\.3\.weight"):
        import_merged(path, other)
    assert all(torch.equal(before[name], t) for name, t in other.state_dict().items())


def test_a_missing_or_poisoned_file_is_refused(tmp_path):
    objective = build(CONFIGS["jepa/simclr"])
    with pytest.raises(CheckpointError, match="does not exist"):
        import_merged(tmp_path / "none.safetensors", objective)
    with torch.no_grad():
        objective.projector[0].weight[0, 0] = float("nan")
    with pytest.raises(CheckpointError, match="holds NaN"):
        import_merged(exported(objective, tmp_path), objective)

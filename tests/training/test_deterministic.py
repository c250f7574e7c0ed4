import os

import pytest
import torch
from torch.utils import deterministic

from tests.training import toy_run as toy
from worldmodel_train.training.config import TrainConfig
from worldmodel_train.training.deterministic import deterministic_algorithms
from worldmodel_train.training.run import pretrain


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    monkeypatch.delenv("WMT_ATTENTION", raising=False)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)


def state():
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        deterministic.fill_uninitialized_memory,
        os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    )


def train_config(**options):
    return TrainConfig(steps=1, global_batch=1, micro_batch=1, deterministic=True, **options)


def test_a_deterministic_run_has_the_same_losses_and_leaves_pytorch_as_it_was(
    tmp_path, losses, weights
):
    before, within = state(), []
    one, two = tmp_path / "one", tmp_path / "two"
    pretrain(toy.toy_parts(one))
    look = lambda _step: within.append(state())  # noqa: E731
    pretrain(toy.toy_parts(two, deterministic=True, at_batch=look))
    assert set(within) == {(True, False, False, ":4096:8")}
    assert state() == before == (False, False, True, None)
    assert losses(one) == losses(two)
    same = weights(two)
    assert all(torch.equal(tensor, same[name]) for name, tensor in weights(one).items())


def test_pytorch_is_left_as_it_was_by_a_run_that_fails():
    before = state()
    with pytest.raises(KeyError), deterministic_algorithms(train_config()):
        raise KeyError
    assert state() == before


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("WMT_ATTENTION", "cudnn", "WMT_ATTENTION=cudnn does not give the same bits twice; use"),
        ("CUBLAS_WORKSPACE_CONFIG", ":0:0", "with CUBLAS_WORKSPACE_CONFIG=:0:0 cuBLAS adds up in"),
    ],
)
def test_what_cannot_be_deterministic_is_refused_before_anything_is_written(
    tmp_path, monkeypatch, name, value, message
):
    monkeypatch.setenv(name, value)
    before = state()
    with pytest.raises(ValueError, match=f"train.deterministic=true, but {message}"):
        pretrain(toy.toy_parts(tmp_path / "run", deterministic=True))
    assert state() == before
    assert not (tmp_path / "run").exists()


def test_a_workspace_that_was_chosen_is_kept(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    with deterministic_algorithms(train_config()):
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_a_run_may_go_on_with_or_without(tmp_path):
    pretrain(toy.toy_parts(tmp_path, steps=2))
    assert pretrain(toy.toy_parts(tmp_path, steps=3, deterministic=True)).step == 3


@pytest.mark.gpu
def test_two_deterministic_steps_on_a_gpu_give_the_same_bits():
    from worldmodel_train.jepa.vjepa import Config
    from worldmodel_train.masks.multiblock3d import Multiblock3D
    from worldmodel_train.types import ClipGroup, MaskedClips, TokenGrid

    torch.manual_seed(0)
    masks = Multiblock3D(truncate="none").sample(
        TokenGrid(2, 16, 16), seed=0, step=0, samples=range(8)
    )
    clips = torch.randint(256, (8, 4, 128, 128, 3), dtype=torch.uint8)
    groups = (ClipGroup(clips=clips, masks=(masks, masks)),)
    batch = MaskedClips(groups=groups).map(torch.Tensor.cuda)
    objective = Config.tiny().build().cuda()

    def gradients():
        objective.zero_grad()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = objective.training_losses(batch).total
        loss.backward()
        return [p.grad.clone() for p in objective.parameters() if p.grad is not None]

    with deterministic_algorithms(train_config()):
        first = gradients()
        assert first
        for _ in range(5):
            assert all(map(torch.equal, gradients(), first))

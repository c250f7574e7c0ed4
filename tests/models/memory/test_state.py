"""Bytes of state agree with real weights, moments and teachers, and with closed forms."""

import pytest
import torch
from torch import nn

from worldmodel_train.jepa.vjepa import Config
from worldmodel_train.models.memory import LAYOUTS, state_bytes


def size(tensors) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture
def objective():
    torch.manual_seed(0)
    return Config.tiny().build()


@pytest.fixture
def numbers(objective):
    trained = sum(p.numel() for p in objective.parameters() if p.requires_grad)
    return trained, count(objective.target_encoder)


def test_ddp_holds_what_a_real_step_of_adamw_holds(objective, numbers):
    trained = [p for p in objective.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, fused=True)
    for parameter in trained:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    moments = [
        value
        for state in optimizer.state.values()
        for name, value in state.items()
        if name != "step"
    ]
    predicted = state_bytes(*numbers, layout="ddp", world_size=4, precision="bf16")
    assert predicted.weights == size(trained)
    assert predicted.gradients == size(p.grad for p in trained)
    assert predicted.optimizer == size(moments)
    assert predicted.teacher == size(objective.target_encoder.parameters())
    assert predicted.ema == 0


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float)])
def test_zero_holds_the_model_in_its_precision_and_fp32_shards(
    objective, numbers, precision, dtype
):
    predicted = state_bytes(*numbers, layout="zero1", world_size=1, precision=precision)
    objective.to(dtype)
    assert predicted.weights == size(p for p in objective.parameters() if p.requires_grad)
    assert predicted.teacher == size(objective.target_encoder.parameters())
    assert predicted.ema == size(p.float() for p in objective.target_encoder.parameters())
    assert predicted.optimizer == 3 * 4 * numbers[0]


def test_each_stage_splits_one_more_part():
    # bytes per trained parameter: weights 2, gradients 2, masters 4, moments 8
    totals = {
        layout: state_bytes(800, 0, layout=layout, world_size=8, precision="bf16").total
        for layout in LAYOUTS
    }
    assert totals == {
        "ddp": 800 * (4 + 2 + 4 + 8),
        "zero1": 800 * (2 + 2) + 100 * 12,
        "zero2": 800 * 2 + 100 * (2 + 12),
        "zero3": 100 * (2 + 2 + 12),
    }


def test_the_teacher_has_a_copy_to_read_and_an_fp32_shard():
    zero2, zero3 = (
        state_bytes(0, 800, layout=layout, world_size=8, precision="bf16")
        for layout in ("zero2", "zero3")
    )
    assert (zero2.teacher, zero2.ema) == (1600, 400)
    assert (zero3.teacher, zero3.ema) == (200, 400)


def test_gradients_added_up_in_fp32_take_more():
    def gradients(layout, precision):
        state = state_bytes(
            80, 0, layout=layout, world_size=8, precision="bf16", gradients=precision
        )
        return state.gradients

    assert (gradients("zero2", "bf16"), gradients("zero2", "fp32")) == (10 * 2, 10 * 4)
    # the bf16 gradients of the last micro-batch stay beside the fp32 sum
    assert (gradients("zero1", "bf16"), gradients("zero1", "fp32")) == (80 * 2, 80 * (4 + 2))


def test_a_share_is_rounded_up():
    assert state_bytes(9, 0, layout="zero3", world_size=8, precision="bf16").weights == 4


def test_offloading_leaves_weights_and_gradients():
    state = state_bytes(800, 800, layout="zero2", world_size=8, precision="bf16")
    assert state.offloaded().optimizer == state.offloaded().ema == 0
    assert state.total - state.offloaded().total == 100 * (12 + 4)


def test_no_gpu_is_refused():
    with pytest.raises(ValueError, match="at least one GPU, not 0"):
        state_bytes(1, 1, layout="ddp", world_size=0, precision="bf16")

import pytest
import torch
from torch import nn

from worldmodel_train.protocols import ParameterGroup
from worldmodel_train.training.optim import (
    ClipGradConfig,
    OptimConfig,
    build_optimizer,
    set_schedules,
)


def config(**changes) -> OptimConfig:
    values = {
        "lr": {"name": "linear", "start": 0.0, "end": 1.0},
        "weight_decay": {"name": "linear", "start": 0.0, "end": 10.0},
        "ema": None,
    }
    return OptimConfig.model_validate(values | changes)


def groups(layer: nn.Linear) -> list[ParameterGroup]:
    return [
        ParameterGroup(name="decay", parameters=[layer.weight], weight_decay=True),
        ParameterGroup(name="no_decay", parameters=[layer.bias], weight_decay=False),
    ]


def test_the_first_step_is_taken_one_step_into_the_schedule():
    optimizer = build_optimizer(groups(nn.Linear(2, 2)), config())
    set_schedules(optimizer, config(), 0, 10)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.1]
    set_schedules(optimizer, config(), 9, 10)
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 1.0]


def test_only_groups_that_decay_decay():
    layer = nn.Linear(2, 2)
    nn.init.ones_(layer.weight)
    nn.init.ones_(layer.bias)
    optimizer = build_optimizer(groups(layer), config())
    set_schedules(optimizer, config(), 0, 10)
    layer.weight.grad, layer.bias.grad = torch.zeros(2, 2), torch.zeros(2)
    optimizer.step()
    torch.testing.assert_close(layer.weight.data, torch.full((2, 2), 1 - 0.1 * 1.0))
    assert torch.equal(layer.bias.data, torch.ones(2))


def test_settings_of_the_recipe_reach_the_optimizer():
    optimizer = build_optimizer(groups(nn.Linear(2, 2)), config(betas=(0.8, 0.9), eps=1e-6))
    assert {g["betas"] for g in optimizer.param_groups} == {(0.8, 0.9)}
    assert {g["eps"] for g in optimizer.param_groups} == {1e-6}


def test_a_parameter_in_two_groups_is_refused():
    layer = nn.Linear(2, 2)
    twice = [*groups(layer), groups(layer)[1]]
    with pytest.raises(AssertionError, match="no_decay"):
        build_optimizer(twice, config())


def test_a_frozen_parameter_in_a_group_is_refused():
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(requires_grad=False)
    with pytest.raises(AssertionError, match="frozen"):
        build_optimizer(groups(layer), config())


def test_clipping_is_off_by_default():
    assert config().clipping is None
    assert config().clipping_at(0) is None


def test_a_limit_alone_clips_all_gradients_from_the_first_step_on():
    clip = config(clip_grad_norm=3.0).clipping_at(0)
    assert clip == ClipGradConfig(norm=3.0, of="all", from_step=0)


def test_the_steps_before_the_first_one_that_clips_do_not():
    limited = config(clip_grad={"norm": 10, "from_step": 5})
    assert limited.clipping_at(4) is None
    assert limited.clipping_at(5) == limited.clip_grad


def test_two_limits_for_the_same_gradients_are_refused():
    with pytest.raises(ValueError, match=r"clip_grad_norm=3.0 and clip_grad.norm=10.0.*null"):
        config(clip_grad_norm=3.0, clip_grad={"norm": 10})

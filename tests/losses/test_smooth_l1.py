import pytest
import torch
from pydantic import TypeAdapter

from worldmodel_train.losses import LossConfig, SmoothL1, smooth_l1_loss


def test_smooth_l1_is_quadratic_near_zero_and_linear_far():
    target = torch.zeros(1, 1, 2, 1)
    predicted = torch.tensor([0.5, -3.0]).reshape(1, 1, 2, 1)
    assert smooth_l1_loss(predicted, target).item() == pytest.approx((0.125 + 2.5) / 2)


def test_padding_does_not_count():
    target = torch.zeros(1, 1, 2, 1)
    predicted = torch.tensor([0.5, -3.0]).reshape(1, 1, 2, 1)
    valid = torch.tensor([[[True, False]]])
    assert smooth_l1_loss(predicted, target, valid=valid).item() == pytest.approx(0.125)


def test_the_union_reads_smooth_l1_by_name():
    assert TypeAdapter(LossConfig).validate_python({"name": "smooth_l1"}) == SmoothL1()

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from worldmodel_train.losses import LossConfig, Lp, lp_loss


def pair(seed=0, shape=(2, 3, 5, 4)):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)


@settings(deadline=None)
@given(p=st.sampled_from([1.0, 1.5, 2.0, 3.0]), seed=st.integers(0, 100))
def test_lp_is_the_mean_of_the_power_over_p(p, seed):
    predicted, target = pair(seed)
    expected = sum(
        abs(z - h) ** p / p
        for z, h in zip(predicted.flatten().tolist(), target.flatten().tolist(), strict=True)
    )
    loss = lp_loss(predicted, target, p=p)
    assert loss.item() == pytest.approx(expected / predicted.numel(), rel=1e-5)


def test_padding_changes_neither_loss_nor_gradient():
    predicted, target = pair()
    valid = torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(1)) < 0.6
    predicted.requires_grad_()
    loss = lp_loss(predicted, target, p=1.0, valid=valid)
    loss.backward()
    assert loss.item() == pytest.approx((predicted - target).abs()[valid].mean().item(), rel=1e-6)
    assert predicted.grad is not None
    assert (predicted.grad[~valid] == 0).all()
    assert (predicted.grad[valid] != 0).all()


def test_half_precision_latents_are_compared_in_fp32():
    predicted = torch.full((1, 1, 4096, 8), 1.0, dtype=torch.bfloat16)
    target = torch.full((1, 1, 4096, 8), 0.99, dtype=torch.float32)
    loss = lp_loss(predicted, target, p=1.0)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(0.01, rel=1e-4)


def test_a_perfect_prediction_has_a_finite_gradient():
    predicted = torch.ones(1, 1, 2, 2, requires_grad=True)
    lp_loss(predicted, torch.ones(1, 1, 2, 2), p=1.0).backward()
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()


def test_the_union_reads_lp_by_name():
    config = TypeAdapter(LossConfig).validate_python({"name": "lp", "p": 2})
    predicted, target = pair()
    assert config == Lp(p=2.0)
    assert torch.equal(config.loss(predicted, target), lp_loss(predicted, target, p=2.0))


@pytest.mark.parametrize("bad", [{"name": "lp", "p": 0.5}, {"name": "l1"}, {"name": "lp", "q": 1}])
def test_wrong_losses_are_refused(bad):
    with pytest.raises(ValidationError):
        TypeAdapter(LossConfig).validate_python(bad)

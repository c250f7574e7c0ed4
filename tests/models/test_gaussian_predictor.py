import pytest
import torch

from worldmodel_train.models.gaussian_predictor import PriorExpert, as_gaussian, softly_bounded

LOW, HIGH = -10.0, 5.0


def test_variances_stay_within_their_bounds_wherever_values_are():
    far = torch.tensor([-1e6, -30.0, -10.0, 0.0, 5.0, 30.0, 1e6])
    bounded = softly_bounded(far, LOW, HIGH)
    assert ((bounded >= LOW) & (bounded <= HIGH + 1e-5)).all()
    assert bounded[0] == pytest.approx(LOW)
    assert bounded[-1] == pytest.approx(HIGH, abs=1e-5)
    assert (bounded.diff() >= 0).all()


def test_values_well_within_are_left_alone():
    values = torch.tensor([-4.0, -2.0, 0.0])
    torch.testing.assert_close(softly_bounded(values, LOW, HIGH), values, atol=0.01, rtol=0)


def test_what_is_out_of_bounds_still_has_a_gradient_back():
    values = torch.tensor([LOW - 5, HIGH + 5], requires_grad=True)
    softly_bounded(values, LOW, HIGH).sum().backward()
    assert (values.grad > 1e-3).all()


def test_a_prior_begins_as_the_standard_gaussian():
    prior = as_gaussian(PriorExpert(6)(), (LOW, HIGH))
    assert prior.mean.tolist() == [0] * 6
    # the bounds are soft: at 0 they take off log(1 + exp(-5))
    torch.testing.assert_close(prior.log_variance, torch.zeros(6), atol=0.01, rtol=0)

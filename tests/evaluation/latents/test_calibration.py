import math

import pytest
import torch
from torch import nn

from worldmodel_train.evaluation.latents.calibration import (
    Predictions,
    calibration,
    joined,
    measure_calibration,
)
from worldmodel_train.evaluation.latents.losses import Batches
from worldmodel_train.masks import Multiblock3D
from worldmodel_train.masks.draw import MaskPreparation
from worldmodel_train.types import Clips, GaussianPair, TokenGrid


def predictions(*, sure_by=1.0, tokens=4000, width=8):
    """Errors of a known deviation, from token to token another; `sure_by` 2 says half of it."""
    generator = torch.Generator().manual_seed(0)
    deviation = torch.exp(torch.randn(tokens, 1, generator=generator)).expand(tokens, width)
    mean = torch.randn(tokens, width, generator=generator)
    target = mean + deviation * torch.randn(tokens, width, generator=generator)
    return Predictions(target=target, mean=mean, log_variance=2 * (deviation / sure_by).log())


def test_a_gaussian_that_is_right_has_its_share_inside_and_squares_of_one():
    found = calibration(predictions())
    # 32,000 numbers
    assert found.inside[50] == pytest.approx(0.5, abs=0.01)
    assert found.inside[90] == pytest.approx(0.9, abs=0.01)
    assert found.squares == pytest.approx(1, abs=0.03)


def test_one_that_is_too_sure_has_less_inside_in_closed_form():
    found = calibration(predictions(sure_by=2.0))
    assert found.squares == pytest.approx(4, rel=0.03)
    for percent, reach in ((50, 0.67449), (90, 1.64485)):
        expected = math.erf(reach / 2 / math.sqrt(2))
        assert found.inside[percent] == pytest.approx(expected, abs=0.01)


def test_surprise_is_that_of_the_density_in_closed_form():
    right, sure = calibration(predictions()), calibration(predictions(sure_by=2.0))
    # log of the deviation is standard normal: the mean entropy is that of N(0, 1)
    entropy = 0.5 * (math.log(2 * math.pi) + 1)
    assert right.surprise == pytest.approx(entropy, abs=0.05)
    assert sure.surprise - right.surprise == pytest.approx(-math.log(2) + 1.5, abs=0.05)


def test_variances_that_follow_errors_tell_them_and_constant_ones_do_not():
    known = predictions()
    assert calibration(known).told > 0.8
    same = torch.zeros_like(known.log_variance)
    assert (
        calibration(Predictions(target=known.target, mean=known.mean, log_variance=same)).told == 0
    )


def test_padding_is_not_counted():
    target, mean, log_variance = torch.randn(3, 2, 1, 5, 4)
    valid = torch.tensor([[[True] * 5], [[True, False, True, False, False]]])
    pair = GaussianPair(predicted=mean, target=target, log_variance=log_variance, valid=valid)
    kept = joined(iter([pair]))
    assert torch.equal(kept.target, target[valid])
    assert torch.equal(kept.log_variance, log_variance[valid])


class Predictor(nn.Module):
    """What is hidden are draws of a known Gaussian; it says so, or is too sure."""

    def __init__(self, sure_by):
        super().__init__()
        self.log_variance = -2 * math.log(sure_by)

    def token_grid(self, clips):
        return TokenGrid.of(*clips.shape[1:4], tubelet=2, patch=8)

    def encode(self, clips):
        generator = torch.Generator().manual_seed(int(clips.sum()))
        return torch.randn(len(clips), self.token_grid(clips).num_tokens, 4, generator=generator)

    def predict(self, group):
        return self.predict_gaussians(group)

    def predict_gaussians(self, group):
        latents = self.encode(group.clips)
        for masks in group.masks:
            target = torch.stack([latents[i][masks.target_index[i]] for i in range(len(latents))])
            said = torch.full_like(target, self.log_variance)
            yield GaussianPair(predicted=torch.zeros_like(target), target=target, log_variance=said)


def batches(clips=16, size=2):
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randint(256, (clips, 8, 32, 32, 3), dtype=torch.uint8, generator=generator)
    prepare = MaskPreparation(samplers=(Multiblock3D(num_blocks=2),), tubelet=2, patch=8)
    samples = Clips(pixels=pixels, samples=tuple(range(clips)))
    return Batches(samples=samples, size=size, prepare=prepare)


def test_rules_are_right_in_the_mean_where_a_model_is_too_sure():
    found = measure_calibration(Predictor(sure_by=3.0), batches(), seed=0)
    assert found.predicted.squares == pytest.approx(9, rel=0.2)
    assert found.constant.squares == pytest.approx(1, rel=0.2)
    assert found.targets.surprise == pytest.approx(found.constant.surprise, abs=0.1)
    assert found.constant.surprise < found.predicted.surprise


def test_one_batch_is_refused():
    with pytest.raises(ValueError, match="hold out more"):
        measure_calibration(Predictor(sure_by=1.0), batches(clips=2), seed=0)

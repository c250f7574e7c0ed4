import pytest
import torch
from torch import nn

from worldmodel_train.evaluation.tasks.energy import Config


class LastPicture(nn.Module):
    """The energy is how far later pictures are from the context's last one, and some noise."""

    def __init__(self, noise: float) -> None:
        super().__init__()
        self.noise = noise

    def energy(self, context, target):
        half = context.pixels.shape[1] // 2
        moved = target.pixels[:, half:].float() - context.pixels[:, half - 1, None].float()
        level = moved.abs().flatten(1).mean(dim=1)
        return level + self.noise * torch.arange(len(level)).roll(1)


def test_both_models_and_pixels_stand_beside_each_other(subject):
    models = subject(LastPicture(noise=0.0), LastPicture(noise=1e6))
    result = Config(seeds=(0, 1)).run(models)
    numbers = {number.name: number for number in result.numbers}
    other = numbers["energy AUC, other sample"]
    assert other.trained.mean == pytest.approx(other.baselines["pixels of the last picture"].mean)
    assert other.baselines["untrained"].mean == pytest.approx(0.5, abs=0.1)
    assert len(other.trained.values) == 2
    assert not result.verdicts[0].good  # it is no better than pixels
    assert result.measured_on.startswith("7 held-out samples")

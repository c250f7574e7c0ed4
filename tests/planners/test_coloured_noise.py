import pytest
import torch

from worldmodel_train.planners.coloured_noise import coloured_noise

LIKE = torch.zeros((), dtype=torch.float64)


def _noise(exponent, steps=16, count=20_000):
    generator = torch.Generator().manual_seed(0)
    return coloured_noise((count, steps, 1), exponent, like=LIKE, generator=generator)[..., 0]


@pytest.mark.parametrize("steps", [1, 2, 7, 16])
@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.5])
def test_every_value_is_of_variance_one(exponent, steps):
    noise = _noise(exponent, steps)
    # 20,000 draws: their variance strays by 1 %, their mean by .007
    torch.testing.assert_close(noise.var(dim=0), torch.ones(steps).double(), atol=0.05, rtol=0)
    assert noise.mean(dim=0).abs().max() < 0.04


def test_power_falls_with_frequency_as_the_exponent_says():
    power = torch.fft.rfft(_noise(2.0), dim=1).abs().square().mean(dim=0)
    # the middle ones: the highest frequency is counted once, the lowest stands in for none
    expected = (torch.tensor([2.0, 3.0, 4.0]) ** -2.0).double()
    torch.testing.assert_close(power[2:5] / power[1], expected * 1.0, rtol=0.05, atol=0)


def test_white_noise_has_no_memory_and_slow_noise_has():
    def memory(noise):
        return float((noise[:, 1:] * noise[:, :-1]).mean())

    assert abs(memory(_noise(0.0))) < 0.02
    assert memory(_noise(2.0)) > 0.6

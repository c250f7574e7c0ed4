import pytest
import torch

from benchmarks.learning.video_diffusion import PixelGaussian, TubeletGaussian, errors


@pytest.fixture
def clips():
    """Tubelets of two pixels that are alike, with mean 0.5 and variance 0.25."""
    values = 0.5 + 0.5 * torch.randn(400, 2, 3, 3, 1, generator=torch.Generator().manual_seed(0))
    return values.expand(-1, -1, -1, -1, 2)


def test_baselines_are_as_good_as_theory_says(clips):
    found = errors(
        {"pixel": PixelGaussian.of(clips), "tubelet": TubeletGaussian.of(clips)}, clips, draws=2
    )
    for level in (0.3, 0.7):
        signal, noise = (1 - level) ** 2, level**2
        alone = 0.25 * noise / (signal * 0.25 + noise)  # the variance that one look leaves
        assert found["pixel"][level].mean().item() == pytest.approx(alone, rel=0.05)
        twice = 0.25 * noise / (2 * signal * 0.25 + noise)
        assert found["tubelet"][level].mean().item() == pytest.approx(twice, rel=0.05)


def test_of_noise_alone_they_make_the_mean(clips):
    point, level = torch.randn(5, 2, 3, 3, 2), torch.ones(5)
    for fitted in (PixelGaussian.of(clips), TubeletGaussian.of(clips)):
        torch.testing.assert_close(
            fitted(point, level), torch.full_like(point, 0.5), atol=0.1, rtol=0
        )

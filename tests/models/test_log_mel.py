"""Log-mel spectrograms are what an independent reference in fp64 and closed forms say."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from worldmodel_train.facts import AudioFacts
from worldmodel_train.models.log_mel import FixedScale, LogMel, LogMelConfig, mel_filters

PLAIN = FixedScale(mean=0.0, std=1.0)
CONFIG = LogMelConfig(rate=8000, window=200, hop=64, fft=512, mels=40, scale=PLAIN)


def reference(wave, config):
    """Frame by frame, in numpy and fp64."""
    time = np.arange(config.window)
    window = np.zeros(config.fft)
    begin = (config.fft - config.window) // 2
    window[begin : begin + config.window] = 0.5 - 0.5 * np.cos(2 * np.pi * time / config.window)
    padded = np.pad(wave, config.fft // 2)
    frames = [
        padded[i * config.hop : i * config.hop + config.fft] * window
        for i in range(len(wave) // config.hop)
    ]
    energy = np.abs(np.fft.rfft(frames)) ** 2
    return np.log(energy @ triangles(config) + config.floor)


def triangles(config):
    """Each band by interpolation between its corners."""
    ends = 2595 * np.log10(1 + np.array([config.low_hz, config.highest]) / 700)
    corners = 700 * (10 ** (np.linspace(*ends, config.mels + 2) / 2595) - 1)
    hertz = np.arange(config.fft // 2 + 1) * config.rate / config.fft
    return np.stack(
        [np.interp(hertz, corners[b : b + 3], [0, 1, 0]) for b in range(config.mels)], axis=1
    )


def test_it_is_what_a_reference_in_numpy_says():
    wave = np.random.default_rng(0).standard_normal(1000) / 10
    found = LogMel(CONFIG)(torch.from_numpy(wave).float()[None])[0]
    assert found.shape == (15, 40)
    # the logarithm of energies that fp32 has to some 1e-6
    np.testing.assert_allclose(found.numpy(), reference(wave, CONFIG), atol=1e-4)


def test_a_tone_is_in_its_own_band_and_as_loud_as_closed_form_says():
    bin_hertz = CONFIG.rate / CONFIG.fft
    tone = 64 * bin_hertz  # on a frequency of the transform
    wave = 0.5 * torch.sin(2 * math.pi * tone * torch.arange(4000) / CONFIG.rate)
    inner = LogMel(CONFIG)(wave[None])[0, 10:50]
    filters = mel_filters(CONFIG)
    assert (inner.argmax(dim=1) == filters[64].argmax()).all()
    # a Hann window of 200 sums to 100; half of a sine's amplitude is at its frequency
    loud = (0.5 * 100 / 2) ** 2
    assert LogMel(CONFIG)(wave[None]).exp().max() >= loud * filters[64].max()
    doubled = LogMel(CONFIG)(2 * wave[None])[0, 10:50]
    strongest = int(filters[64].argmax())
    torch.testing.assert_close(
        doubled[:, strongest] - inner[:, strongest],
        torch.full((40,), math.log(4)), atol=1e-4, rtol=0,
    )  # fmt: skip


def test_silence_is_the_floor_and_scaled_per_clip_it_is_zero():
    silent = torch.zeros(2, 640)
    plain = LogMel(CONFIG)(silent)
    torch.testing.assert_close(plain, torch.full_like(plain, math.log(CONFIG.floor)))
    per_clip = LogMel(LogMelConfig(**(CONFIG.model_dump() | {"scale": {"name": "per_clip"}})))
    assert per_clip(silent).abs().max() < 0.01


def test_scaled_per_clip_loudness_does_not_count_where_nothing_is_near_the_floor():
    config = CONFIG.model_dump() | {"scale": {"name": "per_clip"}, "floor": 1e-12}
    log_mel = LogMel(LogMelConfig(**config))
    wave = torch.randn(1, 2000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(log_mel(wave), log_mel(8 * wave), atol=1e-3, rtol=0)
    assert log_mel(wave).mean().abs() < 1e-4
    assert abs(log_mel(wave).std() - 1) < 1e-3


def test_autocast_does_not_round_it():
    wave = torch.randn(1, 1280, generator=torch.Generator().manual_seed(0))
    expected = LogMel(CONFIG)(wave)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(LogMel(CONFIG)(wave), expected)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"mels": 128, "fft": 256}, "so narrow that fft=256"),
        ({"window": 600}, "raise the latter"),
        ({"high_hz": 5000.0}, "half the rate"),
    ],
)
def test_bands_that_hear_nothing_are_refused(changed, words):
    with pytest.raises(ValidationError, match=words):
        LogMelConfig(**(CONFIG.model_dump() | changed))


def test_sound_that_does_not_suit_says_what_does():
    wrong = dict(CONFIG.misfits(AudioFacts(rate=16_000, samples=5000), patch=16))
    assert wrong.keys() == {"rate", "mels", "hop"}
    assert "data.seconds=0.32" in wrong["hop"]
    assert not dict(CONFIG.misfits(AudioFacts(rate=8000, samples=5120), patch=8))

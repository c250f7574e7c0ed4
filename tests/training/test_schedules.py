"""Golden values of the published schedules, and properties of all of them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from worldmodel_train.training.schedules import (
    Constant,
    Cosine,
    Linear,
    Schedule,
    WarmupConstant,
    WarmupCosine,
    WarmupStableDecay,
)

rates = st.floats(1e-7, 1.0)


def test_vjepa2_pretraining_rises_to_its_peak_in_12k_steps_and_stays():
    schedule = WarmupConstant(start=1e-4, peak=5.25e-4, warmup_steps=12_000)
    assert schedule.at(0, 240_000) == 1e-4
    assert schedule.at(6_000, 240_000) == pytest.approx(3.125e-4)
    assert schedule.at(12_000, 240_000) == 5.25e-4
    assert schedule.at(240_000, 240_000) == 5.25e-4


def test_vjepa2_cooldown_stretched_by_a_quarter_ends_at_1_06e_4():
    schedule = Linear(start=5.25e-4, end=1e-6, stretch=1.25)
    assert schedule.at(0, 12_000) == 5.25e-4
    assert schedule.at(12_000, 12_000) == pytest.approx(1.058e-4, rel=1e-6)
    assert schedule.at(15_000, 12_000) == 1e-6


def test_ijepa_warms_up_and_follows_a_cosine_to_its_end():
    schedule = WarmupCosine(start=2e-4, peak=1e-3, end=1e-6, warmup_steps=40)
    assert schedule.at(0, 300) == 2e-4
    assert schedule.at(20, 300) == pytest.approx(6e-4)
    assert schedule.at(40, 300) == 1e-3
    assert schedule.at(170, 300) == pytest.approx((1e-3 + 1e-6) / 2)
    assert schedule.at(300, 300) == pytest.approx(1e-6)


def test_vjepa1_stretched_cosine_stops_before_its_end():
    schedule = WarmupCosine(start=2e-4, peak=6.25e-4, end=1e-6, warmup_steps=12_000, stretch=1.25)
    progress = (90_000 - 12_000) / (112_500 - 12_000)
    expected = 1e-6 + (6.25e-4 - 1e-6) * 0.5 * (1 + math.cos(math.pi * progress))
    assert schedule.at(90_000, 90_000) == pytest.approx(expected)
    assert expected > 5e-5


def test_vjepa2_ac_warms_up_stays_and_decays_to_nothing():
    """Released: 315 epochs of 300 steps, 15 of them of warmup and the last 15 of decay."""
    schedule = WarmupStableDecay(
        start=7.5e-5, peak=4.25e-4, end=0.0, warmup_steps=4500, decay_steps=4500
    )
    steps = (0, 2250, 4500, 50_000, 90_000, 92_250, 94_500, 100_000)
    expected = (7.5e-5, 2.5e-4, 4.25e-4, 4.25e-4, 4.25e-4, 2.125e-4, 0.0, 0.0)
    assert [schedule.at(step, 94_500) for step in steps] == pytest.approx(expected)


def test_weight_decay_follows_a_cosine_from_0_04_to_0_4():
    schedule = Cosine(start=0.04, end=0.4)
    assert schedule.at(0, 1000) == 0.04
    assert schedule.at(500, 1000) == pytest.approx(0.22)
    assert schedule.at(1000, 1000) == pytest.approx(0.4)
    assert schedule.at(250, 1000) < 0.04 + 0.36 / 4  # slower than a line at first


@pytest.mark.parametrize("start", [0.996, 0.998])
def test_ema_momentum_follows_a_line_to_one(start):
    schedule = Linear(start=start, end=1.0)
    assert schedule.at(0, 100) == start
    assert schedule.at(50, 100) == pytest.approx((start + 1) / 2)
    assert schedule.at(100, 100) == 1.0


@given(rates, rates, rates, st.integers(0, 50), st.integers(1, 200), st.floats(1, 2))
def test_values_stay_between_start_peak_and_end(start, peak, end, warmup, total, stretch):
    schedules = [
        Constant(value=start),
        Linear(start=start, end=end, stretch=stretch),
        Cosine(start=start, end=end, stretch=stretch),
        WarmupConstant(start=start, peak=peak, warmup_steps=warmup),
        WarmupCosine(start=start, peak=peak, end=end, warmup_steps=warmup, stretch=stretch),
        WarmupStableDecay(
            start=start, peak=peak, end=end, warmup_steps=warmup, decay_steps=total // 3
        ),
    ]
    low, high = min(start, peak, end), max(start, peak, end)
    for schedule in schedules:
        for step in (0, warmup, total // 2, total, 10 * total):
            assert low * (1 - 1e-9) <= schedule.at(step, total) <= high * (1 + 1e-9)


def test_a_recipe_names_its_schedule_and_cannot_mistype_it():
    adapter = TypeAdapter(Schedule)
    values = {"name": "linear", "start": 0.1, "end": 0.2}
    assert adapter.validate_python(values) == Linear(start=0.1, end=0.2)
    for wrong in ({**values, "name": "line"}, {**values, "strech": 1.25}, {"start": 0.1}):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)

import json

import pytest

from worldmodel_train.training.guard import BrokenRunError, Guard, GuardConfig
from worldmodel_train.training.step_metrics import StepMetrics


def reading(step=1, *, loss=1.0, rank=20.0, std=1.0, non_finite=False) -> StepMetrics:
    values = {"loss": loss, "monitors/target_rankme": rank, "monitors/target_std": std}
    return StepMetrics(step=step, values=values, non_finite=non_finite)


def test_a_loss_that_is_not_finite_stops_the_run_with_advice():
    with pytest.raises(BrokenRunError, match=r"NaN or infinite.*step 7.*optim\.lr"):
        Guard(GuardConfig()).check(reading(7, non_finite=True))


def test_a_loss_that_is_not_finite_may_be_a_warning(caplog):
    Guard(GuardConfig(non_finite="warn")).check(reading(7, non_finite=True))
    assert "NaN or infinite" in caplog.text


@pytest.mark.parametrize("low", [{"rank": 1.9}, {"std": 0.09}])
def test_lost_rank_or_spread_stops_after_some_readings_in_a_row(low):
    guard = Guard(GuardConfig(patience=3))
    guard.check(reading(1))
    for step in (2, 3):
        guard.check(reading(step, **low))
    guard.check(reading(4))  # recovered: counting begins again
    for step in (5, 6):
        guard.check(reading(step, **low))
    with pytest.raises(BrokenRunError, match="lost most of their variety by step 7"):
        guard.check(reading(7, **low))


def test_a_sudden_drop_of_loss_and_rank_stops_at_once():
    guard = Guard(GuardConfig())
    for step in range(1, 20):
        guard.check(reading(step, loss=0.5, rank=15.0))
    with pytest.raises(BrokenRunError, match="fell suddenly together with the loss"):
        guard.check(reading(20, loss=0.1, rank=5.0))


@pytest.mark.parametrize("end", [{"loss": 0.1}, {"rank": 8.0}, {"loss": 5.0}])
def test_a_loss_or_a_rank_that_changes_alone_is_no_collapse(end):
    guard = Guard(GuardConfig())
    for step in range(1, 20):
        guard.check(reading(step))
    for step in range(20, 40):
        guard.check(reading(step, **end))


def test_collapse_may_be_ignored():
    guard = Guard(GuardConfig(collapse="ignore", patience=1))
    for step in range(1, 5):
        guard.check(reading(step, rank=20.0 / step**4, std=1.0 / step**4))


def test_a_resumed_guard_remembers_the_start():
    guard = Guard(GuardConfig(patience=2))
    guard.check(reading(1))
    guard.check(reading(2, rank=1.0))
    resumed = Guard(GuardConfig(patience=2))
    resumed.load(guard.state())
    with pytest.raises(BrokenRunError):
        resumed.check(reading(3, rank=1.0))


def test_what_was_saved_does_not_hear_of_later_readings():
    guard = Guard(GuardConfig())
    guard.check(reading(1, loss=3.0))
    saved = guard.state()
    guard.check(reading(2, loss=2.0))
    assert saved["recent"] == {"loss": [3.0], "monitors/target_rankme": [20.0]}


def test_a_memory_of_what_is_not_a_number_is_gone_on_from():
    guard = Guard(GuardConfig(collapse="warn"))
    guard.check(reading(1, rank=float("nan")))
    resumed = Guard(GuardConfig())
    resumed.load(json.loads(json.dumps(guard.state())))
    assert str(resumed.state()) == str(guard.state())


def test_a_memory_that_is_none_is_named():
    with pytest.raises(ValueError, match=r"^the checkpoint's meta\.json, watch: low: missing"):
        Guard(GuardConfig()).load({"first": {}, "recent": {}})

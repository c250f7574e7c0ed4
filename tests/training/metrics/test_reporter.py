"""Readings that are reported some steps after their own, as on a GPU."""

import json
import signal
import threading
from dataclasses import replace

import pytest

from tests.training import toy_run as toy
from worldmodel_train.training.checkpoints.files import read_meta
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.config import LogConfig
from worldmodel_train.training.guard import BrokenRunError, GuardConfig
from worldmodel_train.training.metrics import measure, reporter
from worldmodel_train.training.run import pretrain

LATE = 3
PACE = ("clips_per_s", "step_ms", "mfu", "data_wait")


@pytest.fixture
def late(monkeypatch):
    """Makes readings late from now on."""
    return lambda: monkeypatch.setitem(reporter.LATE_STEPS, "cpu", LATE)


def read(run_dir):
    """What is read of a run, without what time alone decides."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in line if name not in PACE} for line in lines]


def parts(run_dir, **options):
    shared = {"steps": 11, "log": LogConfig(every_steps=4), "save_every": 2, "guard": GuardConfig()}
    return toy.toy_parts(run_dir, **shared | options)


def guards(run_dir):
    """The guard's memory in each checkpoint."""
    folder = CheckpointFolder(run_dir)
    return {step: read_meta(folder.at(step)).watch for step in folder.steps()}


def test_metrics_and_what_the_guard_saves_are_those_of_prompt_readings(tmp_path, late):
    pretrain(parts(tmp_path / "prompt"))
    late()
    pretrain(parts(tmp_path / "late"))
    assert [line["step"] for line in read(tmp_path / "late")] == [1, 4, 8, 11]
    assert read(tmp_path / "late") == read(tmp_path / "prompt")
    assert guards(tmp_path / "late") == guards(tmp_path / "prompt")


def test_a_run_that_is_stopped_with_a_reading_under_way_goes_on_as_an_unbroken_one(tmp_path, late):
    late()
    pretrain(parts(tmp_path / "one", save_every=100))
    stop = lambda step: signal.raise_signal(signal.SIGTERM) if step == 5 else None  # noqa: E731
    stopped = pretrain(parts(tmp_path / "two", save_every=100, at_batch=stop))
    assert 4 < stopped.step < 4 + LATE
    pretrain(parts(tmp_path / "two", save_every=100))
    assert read(tmp_path / "two") == read(tmp_path / "one")
    assert guards(tmp_path / "two")[11] == guards(tmp_path / "one")[11]


def test_steps_go_on_while_latents_are_read_and_the_report_has_a_step_of_its_own(
    tmp_path, late, monkeypatch
):
    late()
    real, reached, reported = measure.latent_monitors, threading.Event(), {}

    def latent_monitors(latents):
        assert reached.wait(30), "training waited for the reading"
        return real(latents)

    def at_batch(step):
        metrics = tmp_path / "metrics.jsonl"
        reported[step] = len(metrics.read_text().splitlines()) if metrics.exists() else 0
        if step == LATE:  # the batch of the step before the report
            reached.set()

    monkeypatch.setattr(measure, "latent_monitors", latent_monitors)
    options = {"save_every": 100, "log": LogConfig(every_steps=100)}
    pretrain(parts(tmp_path, at_batch=at_batch, **options))
    assert [reported[1], reported[LATE], reported[3 + LATE]] == [0, 0, 1]


@pytest.mark.parametrize("save_every", [100, 6])
def test_the_guard_stops_a_broken_run_in_time_and_nothing_is_saved_after(
    tmp_path, late, save_every
):
    late()

    def build():
        objective, calls = toy.ToyJepa(), []
        real = objective.training_losses

        def training_losses(batch):
            calls.append(batch)
            losses = real(batch)
            spread = 1.0 if len(calls) < 5 else 0.0
            return replace(losses, latents={"target": losses.latents["target"] * spread})

        objective.training_losses = training_losses
        return objective

    log, guard = LogConfig(every_steps=5), GuardConfig(patience=1)
    with pytest.raises(BrokenRunError, match="lost most of their variety by step 5"):
        pretrain(parts(tmp_path, objective=build, log=log, guard=guard, save_every=save_every))
    assert CheckpointFolder(tmp_path).steps() == []
    assert read(tmp_path)[-1]["step"] == 5

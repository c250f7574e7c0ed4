"""Interrupted runs equal unbroken ones, and what must stop a run stops it."""

import io
import json
import logging
import signal
import threading
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from tests.training import toy_run as toy
from worldmodel_train.batch import Origin
from worldmodel_train.models.strict_state import CheckpointError
from worldmodel_train.training import callbacks
from worldmodel_train.training.checkpoints.files import read_meta
from worldmodel_train.training.checkpoints.folder import CheckpointConfig, CheckpointFolder
from worldmodel_train.training.config import LogConfig
from worldmodel_train.training.guard import BrokenRunError, GuardConfig
from worldmodel_train.training.optim import OptimConfig
from worldmodel_train.training.ranks import told_to_leave
from worldmodel_train.training.run import pretrain


def at(step: int, action):
    return lambda now: action() if now == step else None


def terminate() -> None:
    signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("options", [{}, {"micro_batch": 2}, {"precision": "bf16"}])
def test_a_resumed_run_equals_an_unbroken_one(tmp_path, losses, weights, options):
    one, two = tmp_path / "one", tmp_path / "two"
    pretrain(toy.toy_parts(one, **options))
    first = pretrain(toy.toy_parts(two, **options, at_batch=at(4, terminate)))
    assert first.exit_code == 143
    assert 4 <= first.step < 8
    second = pretrain(toy.toy_parts(two, **options))
    assert (second.step, second.exit_code) == (8, 0)
    assert losses(one) == losses(two)
    assert len(losses(one)) == 8
    resumed = weights(two)
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in weights(one).items())


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGUSR1", 138)])
def test_a_signal_saves_leaves_and_says_how_to_go_on(tmp_path, caplog, name, code):
    stop = at(2, lambda: signal.raise_signal(signal.Signals[name]))
    result = pretrain(toy.toy_parts(tmp_path, at_batch=stop))
    assert result.exit_code == code
    assert result.checkpoint == CheckpointFolder(tmp_path).at(result.step)
    assert f"stopped by {name} and saved at step {result.step} of 8" in caplog.text
    assert "the same command resumes" in caplog.text


def terminate_and_stall() -> None:
    terminate()
    threading.Event().wait(60)


@pytest.mark.parametrize("save_every", [100, 3])
def test_a_signal_ends_a_run_whose_data_does_not_come_and_saves_what_was_trained_once(
    tmp_path, losses, weights, monkeypatch, save_every
):
    monkeypatch.setattr(told_to_leave, "_MORE_PATIENCE", 0.0)
    monkeypatch.setattr(told_to_leave, "_LOOK_EVERY", 0.05)
    one, two = tmp_path / "one", tmp_path / "two"
    pretrain(toy.toy_parts(one))
    published, real = [], CheckpointFolder.publish

    def publish(folder, temporary, progress, *rest):
        published.append(progress.step)
        return real(folder, temporary, progress, *rest)

    stall = {"at_batch": at(4, terminate_and_stall), "save_every": save_every}
    monkeypatch.setattr(CheckpointFolder, "publish", publish)
    with pytest.raises(SystemExit) as left:
        pretrain(toy.toy_parts(two, **stall))
    assert left.value.code == 143
    assert published == [3]  # batches are asked for one step ahead
    monkeypatch.setattr(CheckpointFolder, "publish", real)
    assert pretrain(toy.toy_parts(two)).step == 8
    assert losses(one) == losses(two)
    resumed = weights(two)
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in weights(one).items())


def test_a_crash_goes_on_from_the_last_regular_checkpoint(tmp_path, losses, weights, assert_same):
    def crash():
        raise OSError("disk on fire")

    pretrain(toy.toy_parts(tmp_path / "one"))
    with pytest.raises(OSError, match="on fire"):
        pretrain(toy.toy_parts(tmp_path / "two", save_every=3, at_batch=at(6, crash)))
    assert CheckpointFolder(tmp_path / "two").steps() == [3]
    pretrain(toy.toy_parts(tmp_path / "two", save_every=3))
    assert losses(tmp_path / "one") == losses(tmp_path / "two")
    assert_same(weights(tmp_path / "one"), weights(tmp_path / "two"))


def test_a_finished_run_is_not_run_again(tmp_path):
    pretrain(toy.toy_parts(tmp_path, steps=2))

    def build():
        raise AssertionError("the model was built")

    again = pretrain(toy.toy_parts(tmp_path, steps=2, objective=build))
    assert (again.step, again.exit_code) == (2, 0)
    assert again.checkpoint == CheckpointFolder(tmp_path).at(2)


def test_a_run_dir_of_another_recipe_is_refused_before_the_model_is_built(tmp_path):
    pretrain(toy.toy_parts(tmp_path, steps=2))

    def build():
        raise AssertionError("the model was built")

    with pytest.raises(ValueError, match=r"train\.seed: 3 -> 4"):
        pretrain(toy.toy_parts(tmp_path, steps=2, seed=4, objective=build))


def test_a_damaged_last_checkpoint_is_refused_and_the_others_are_named(tmp_path):
    pretrain(toy.toy_parts(tmp_path, steps=4, save_every=2))
    (tmp_path / "checkpoints/step_00000004/moments-00000.safetensors").write_bytes(b"rubbish")
    with pytest.raises(CheckpointError, match=r"moments.*damaged.*there are: step_00000002"):
        pretrain(toy.toy_parts(tmp_path, steps=5))


def test_a_checkpoint_written_while_training_goes_on_keeps_the_guards_memory_of_its_step(tmp_path):
    guard = GuardConfig(collapse="warn")
    pretrain(toy.toy_parts(tmp_path, steps=6, save_every=1, guard=guard))
    folder = CheckpointFolder(tmp_path)
    remembered = {step: read_meta(folder.at(step)).watch["recent"] for step in folder.steps()}
    assert list(remembered) == [1, 2, 3, 4, 5, 6]
    for step, recent in remembered.items():
        assert {name: len(values) for name, values in recent.items()} == dict.fromkeys(recent, step)


@pytest.mark.parametrize("optimizer", [True, False])
def test_a_cooldown_starts_from_another_run(tmp_path, weights, optimizer):
    first = pretrain(toy.toy_parts(tmp_path / "one"))
    init = {"checkpoint": str(tmp_path / "one"), "optimizer": optimizer}
    frozen = {"name": "constant", "value": 0.0}
    optim = toy.OptimConfig.model_validate(toy.OPTIM | {"lr": frozen, "weight_decay": frozen})
    second = pretrain(toy.toy_parts(tmp_path / "two", steps=1, init=init, optim=optim))
    assert second.step == 1
    for name, tensor in weights(tmp_path / "one").items():
        if name.startswith(("encoder.0", "predictor")):
            assert torch.equal(tensor, weights(tmp_path / "two")[name])
    steps = [read_meta(result.checkpoint).optimizer_step for result in (first, second)]
    assert steps == [8, 9 if optimizer else 1]


def test_weights_that_do_not_fit_are_refused_with_what_is_missing_extra_and_mis_shaped(tmp_path):
    pretrain(toy.toy_parts(tmp_path / "one", steps=1))

    def other():
        objective = toy.ToyJepa()
        objective.predictor = torch.nn.ModuleList([torch.nn.Linear(8, 9), torch.nn.Linear(9, 8)])
        return objective

    init = {"checkpoint": str(tmp_path / "one"), "optimizer": False}
    with pytest.raises(CheckpointError) as caught:
        pretrain(toy.toy_parts(tmp_path / "two", init=init, objective=other))
    assert "missing (2):\n    predictor.0.weight 9x8" in str(caught.value)
    assert "predictor.1.weight: file has 8x8, model needs 8x9" in str(caught.value)


def poisoned(*, step: int):
    def build():
        objective = toy.ToyJepa()
        real, calls = objective.training_losses, []

        def training_losses(batch):
            calls.append(batch)
            losses = real(batch)
            bad = losses.total * (float("nan") if len(calls) == step else 1.0)
            return replace(losses, total=bad)

        objective.training_losses = training_losses
        return objective

    return build


@pytest.mark.parametrize("log_every", [1, 100])
def test_nan_stops_the_run_and_the_last_good_checkpoint_stays(tmp_path, weights, log_every):
    options = {"objective": poisoned(step=6), "log": LogConfig(every_steps=log_every)}
    with pytest.raises(BrokenRunError, match="NaN or infinite"):
        pretrain(toy.toy_parts(tmp_path, save_every=2, **options))
    folder = CheckpointFolder(tmp_path)
    assert folder.last() == folder.at(4)
    assert all(t.isfinite().all() for t in weights(tmp_path).values())


def test_weights_that_are_not_finite_are_never_saved_even_if_nan_is_only_a_warning(tmp_path):
    guard = GuardConfig(non_finite="warn", collapse="ignore")
    options = {"objective": poisoned(step=6), "guard": guard}
    result = pretrain(toy.toy_parts(tmp_path, save_every=2, **options))
    assert result.step == 8
    assert result.checkpoint == CheckpointFolder(tmp_path).at(4)


def test_collapsed_targets_stop_the_run(tmp_path):
    def build():
        objective = toy.ToyJepa()
        real, calls = objective.training_losses, []

        def training_losses(batch):
            calls.append(batch)
            losses = real(batch)
            target = losses.latents["target"]
            if len(calls) >= 5:
                target = target[:1].expand(4, -1)
            return replace(losses, latents={"target": target})

        objective.training_losses = training_losses
        return objective

    keep = CheckpointConfig(every_steps=2, keep_last=1)
    with pytest.raises(BrokenRunError, match="lost most of their variety by step 7"):
        pretrain(toy.toy_parts(tmp_path, objective=build, guard=GuardConfig(), checkpoint=keep))
    # the last good one stays, although a newer one was saved before the guard was sure
    assert CheckpointFolder(tmp_path).steps() == [4, 6]


def test_an_objective_without_latents_trains_and_has_no_monitors(tmp_path):
    def build():
        objective = toy.ToyJepa()
        real = objective.training_losses
        objective.training_losses = lambda content: replace(real(content), latents={})
        return objective

    assert pretrain(toy.toy_parts(tmp_path, objective=build, guard=GuardConfig())).step == 8
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert all(json.loads(line)["monitors"].keys() == {"teacher_distance"} for line in lines)


def test_a_group_may_scale_the_rate_and_a_pair_name_its_momentum(tmp_path, weights):
    """With a momentum of 0 the teacher is the student, and at a rate of 0 both stay as drawn."""

    class Slow(toy.ToyJepa):
        def ema_pairs(self):
            return [replace(pair, momentum=0.0) for pair in super().ema_pairs()]

        def parameter_groups(self):
            groups = super().parameter_groups()
            return [
                replace(group, rate_scale=0.0) if "encoder" in group.name else group
                for group in groups
            ]

    drawn = {}

    def build():
        objective = Slow()
        drawn.update({name: t.clone() for name, t in objective.state_dict().items()})
        return objective

    optim = OptimConfig.model_validate(toy.OPTIM | {"ema": None})
    pretrain(toy.toy_parts(tmp_path, steps=3, objective=build, optim=optim))
    for name, tensor in weights(tmp_path).items():
        if "passes" not in name:
            assert torch.equal(tensor, drawn[name]) == (not name.startswith("predictor")), name
    line = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert line["lr"] == pytest.approx(1e-2)


def test_an_objective_puts_its_weights_in_order_after_each_step(tmp_path, weights):
    class UnitNorm(toy.ToyJepa):
        def after_step(self):
            for layer in (self.encoder[0], self.encoder[2]):
                layer.weight.div_(layer.weight.norm(dim=0))

    pretrain(toy.toy_parts(tmp_path, steps=3, objective=UnitNorm))
    for name in ("encoder.0.weight", "encoder.2.weight"):
        norms = weights(tmp_path)[name].norm(dim=0)
        torch.testing.assert_close(norms, torch.ones_like(norms))
    with pytest.raises(ValueError, match=r"use train\.strategy=ddp or single"):
        pretrain(toy.toy_parts(tmp_path / "cut", objective=UnitNorm, strategy="fsdp2"))


def test_a_method_that_does_not_say_what_it_costs_has_no_mfu(tmp_path, capsys):
    pretrain(toy.toy_parts(tmp_path, steps=1, cost=lambda: None))
    assert "mfu" not in (tmp_path / "metrics.jsonl").read_text() + capsys.readouterr().err


def test_a_reading_holds_all_that_the_report_needs(tmp_path):
    skip = toy.Skip(reason="truncated", shard="a.tar", key="k")
    parts = toy.toy_parts(tmp_path, steps=2)
    real = parts.build_loader

    def loader(**place):
        for batch in real(**place):
            yield replace(batch, origin=Origin(first_sample=0, skipped=(skip,)))

    object.__setattr__(parts, "build_loader", loader)
    pretrain(parts)
    line = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert line["skipped"] == {"truncated": 2}
    assert line["terms"].keys() == {"l1"}
    names = {f"{who}_{what}" for who in ("predicted", "target")
             for what in ("rankme", "std", "cosine")}  # fmt: skip
    names |= {"target_dimensions", "target_top_share", "target_condition", "teacher_distance"}
    assert line["monitors"].keys() == names
    assert line["grad_norms"].keys() == {"encoder", "predictor"}
    norms = line["grad_norms"].values()
    assert sum(norm**2 for norm in norms) ** 0.5 == pytest.approx(line["grad_norm"])
    assert line["lr"] == pytest.approx(7e-3)
    assert line["ema"] == pytest.approx(0.95)
    assert line["wd"] == pytest.approx(0.4)
    assert line["grad_norm"] > 0
    assert line["clips_per_s"] == pytest.approx(4000 / line["step_ms"])
    assert line["mfu"] > 0
    assert 0 <= line["data_wait"] <= 1


def test_without_a_terminal_each_reading_is_a_line(tmp_path, monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(callbacks, "terminal", lambda: Console(file=out, width=200))
    pretrain(toy.toy_parts(tmp_path, steps=4, log=LogConfig(every_steps=2)))
    lines = out.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["1/4", "2/4", "4/4"]
    assert all(
        word in lines[-1] for word in ("loss", "clips/s", "ms/step", "mfu", "data wait", "eta")
    )


def test_a_terminal_gets_a_bar(tmp_path, monkeypatch):
    out = io.StringIO()
    console = Console(file=out, width=150, force_terminal=True)
    monkeypatch.setattr(callbacks, "terminal", lambda: console)
    pretrain(toy.toy_parts(tmp_path, steps=4))
    assert "4/4" in out.getvalue()
    assert "clips/s" in out.getvalue()


def test_lightning_prints_nothing_and_keeps_its_settings(tmp_path, capfd, recwarn):
    level = logging.getLogger("lightning.pytorch").level
    pretrain(toy.toy_parts(tmp_path, steps=1))
    out, err = capfd.readouterr()
    assert out == ""
    assert all(line.startswith("step 1/1") for line in err.splitlines())
    assert not recwarn.list
    assert logging.getLogger("lightning.pytorch").level == level
    assert not (tmp_path / "lightning_logs").exists()


def test_the_loader_is_let_go_when_the_run_ends(tmp_path):
    ended = []
    parts = toy.toy_parts(tmp_path, steps=2)
    real = parts.build_loader

    def loader(**place):
        try:
            yield from real(**place)
        finally:
            ended.append(True)

    object.__setattr__(parts, "build_loader", loader)
    pretrain(parts)
    assert ended == [True]


def test_old_checkpoints_go(tmp_path):
    config = CheckpointConfig(every_steps=1, keep_last=2, keep_every=5)
    pretrain(toy.toy_parts(tmp_path, checkpoint=config))
    assert CheckpointFolder(tmp_path).steps() == [5, 7, 8]


def test_activation_checkpointing_reaches_the_modules_that_offer_it(tmp_path):
    policies = []

    def build():
        objective = toy.ToyJepa()
        objective.encoder.set_activation_checkpointing = policies.append
        return objective

    options = {"steps": 1, "activation_checkpointing": "selective"}
    pretrain(toy.toy_parts(tmp_path / "one", objective=build, **options))
    assert policies == ["selective"]
    with pytest.raises(ValueError, match=r"train\.activation_checkpointing=selective, but ToyJepa"):
        pretrain(toy.toy_parts(tmp_path / "two", **options))

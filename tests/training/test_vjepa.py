"""V-JEPA 2 in the training loop: masks, pictures, resume, compilation."""

import dataclasses

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training import vjepa_run as vjepa
from worldmodel_train.jepa.vjepa import Config
from worldmodel_train.training.config import LogConfig
from worldmodel_train.training.run import pretrain
from worldmodel_train.types import MaskedClips


@pytest.mark.slow
def test_a_resumed_vjepa_run_equals_an_unbroken_one(tmp_path, losses, weights, assert_same):
    one, two = tmp_path / "one", tmp_path / "two"
    options = {"micro_batch": 2, "steps": 6}
    pretrain(vjepa.vjepa_parts(one, **options))
    assert pretrain(vjepa.vjepa_parts(two, **options, kill=["SIGTERM", 3])).exit_code == 143
    pretrain(vjepa.vjepa_parts(two, **options))
    assert losses(one) == losses(two)
    assert_same(weights(one), weights(two))


def test_drawing_leaves_each_module_in_its_own_mode(tmp_path):
    built = []

    def build():
        objective = Config.tiny().build()
        objective.target_encoder.eval()
        built.append(objective)
        return objective

    options = {"steps": 1, "log": LogConfig(every_steps=1, image_every=1)}
    parts = vjepa.vjepa_parts(
        tmp_path,
        **options,
        load_pictures=lambda: MaskedClips(groups=(vjepa.group(0, range(2)),)),
    )
    pretrain(dataclasses.replace(parts, build_objective=build))
    assert not any(module.training for module in built[0].target_encoder.modules())
    assert all(module.training for module in built[0].context_encoder.modules())


def test_pictures_show_masks_once_and_features_now_and_then(tmp_path, losses):
    pictured = tmp_path / "pictured"
    options = {"steps": 4, "log": LogConfig(every_steps=1, image_every=2)}
    fixed = vjepa.group(0, range(2))
    pretrain(
        vjepa.vjepa_parts(pictured, **options, load_pictures=lambda: MaskedClips(groups=(fixed,)))
    )
    events = EventAccumulator(str(pictured / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Images("masks/0")] == [0]
    assert [event.step for event in events.Images("features")] == [0, 2, 4]
    # drawing does not change the run
    pretrain(vjepa.vjepa_parts(tmp_path / "plain", **options))
    assert losses(pictured) == losses(tmp_path / "plain")


@pytest.mark.parametrize("policy", ["selective", "full"])
def test_activation_checkpointing_does_not_change_the_loss(tmp_path, losses, policy):
    for name in ("none", policy):
        options = {"steps": 2, "activation_checkpointing": name}
        pretrain(vjepa.vjepa_parts(tmp_path / name, **options))
    expected = losses(tmp_path / "none")
    assert losses(tmp_path / policy) == pytest.approx(expected, rel=1e-6)


@pytest.mark.compile
@pytest.mark.filterwarnings("default")  # the compiler warns of its own internals
def test_compilation_keeps_the_loss_and_the_names_in_the_checkpoint(tmp_path, losses, weights):
    for name, compiled in (("plain", False), ("compiled", True)):
        pretrain(vjepa.vjepa_parts(tmp_path / name, steps=2, compile=compiled))
    assert losses(tmp_path / "compiled") == pytest.approx(losses(tmp_path / "plain"), rel=1e-4)
    assert weights(tmp_path / "compiled").keys() == weights(tmp_path / "plain").keys()

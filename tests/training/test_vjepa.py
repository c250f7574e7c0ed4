"""V-JEPA 2 in the training loop: masks, pictures, resume, compilation."""

import dataclasses
import signal

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from worldmodel_train.jepa.vjepa import Config
from worldmodel_train.masks.multiblock3d import Multiblock3D
from worldmodel_train.training.config import LogConfig
from worldmodel_train.training.run import pretrain
from worldmodel_train.types import ClipGroup, TokenGrid, VideoBatch

GRID = TokenGrid(frames=2, height=4, width=4)


def group(step: int, samples: range) -> ClipGroup:
    shape = (len(samples), 4, 32, 32, 3)
    generator = torch.Generator().manual_seed(samples[0])
    sampler = Multiblock3D(
        num_blocks=2, spatial_scale=(0.3, 0.3), temporal_scale=(1.0, 1.0), aspect_ratio=(0.8, 1.2)
    )
    masks = sampler.sample(GRID, seed=0, step=step, samples=samples)
    clips = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    return ClipGroup(clips=clips, masks=(masks,))


def vjepa_parts(toy, run_dir, **options):
    stop_at = options.pop("stop_at", None)
    parts = toy.toy_parts(run_dir, objective=Config.tiny().build, **options)
    micro_batch, global_batch = parts.train.micro_batch, parts.train.global_batch

    def loader(*, rank, world_size, first_step):
        step = first_step
        while True:
            if step == stop_at:
                signal.raise_signal(signal.SIGTERM)
            for first in range(step * global_batch, (step + 1) * global_batch, micro_batch):
                clips = group(step, range(first, first + micro_batch))
                yield VideoBatch(groups=(clips,), first_sample=first)
            step += 1

    return dataclasses.replace(parts, build_loader=loader)


def test_a_resumed_vjepa_run_equals_an_unbroken_one(toy, tmp_path, losses, weights, assert_same):
    one, two = tmp_path / "one", tmp_path / "two"
    options = {"micro_batch": 2, "steps": 6}
    pretrain(vjepa_parts(toy, one, **options))
    assert pretrain(vjepa_parts(toy, two, **options, stop_at=3)).exit_code == 143
    pretrain(vjepa_parts(toy, two, **options))
    assert losses(one) == losses(two)
    assert_same(weights(one), weights(two))


def test_drawing_leaves_each_module_in_its_own_mode(toy, tmp_path):
    built = []

    def build():
        objective = Config.tiny().build()
        objective.target_encoder.eval()
        built.append(objective)
        return objective

    options = {"steps": 1, "log": LogConfig(every_steps=1, image_every=1)}
    parts = vjepa_parts(toy, tmp_path, **options, load_pictures=lambda: group(0, range(2)))
    pretrain(dataclasses.replace(parts, build_objective=build))
    assert not any(module.training for module in built[0].target_encoder.modules())
    assert all(module.training for module in built[0].context_encoder.modules())


def test_pictures_show_masks_once_and_features_now_and_then(toy, tmp_path, losses):
    pictured = tmp_path / "pictured"
    options = {"steps": 4, "log": LogConfig(every_steps=1, image_every=2)}
    fixed = group(0, range(2))
    pretrain(vjepa_parts(toy, pictured, **options, load_pictures=lambda: fixed))
    events = EventAccumulator(str(pictured / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Images("masks/0")] == [0]
    assert [event.step for event in events.Images("features")] == [0, 2, 4]
    # drawing does not change the run
    pretrain(vjepa_parts(toy, tmp_path / "plain", **options))
    assert losses(pictured) == losses(tmp_path / "plain")


@pytest.mark.parametrize("policy", ["selective", "full"])
def test_activation_checkpointing_does_not_change_the_loss(toy, tmp_path, losses, policy):
    for name in ("none", policy):
        options = {"steps": 2, "activation_checkpointing": name}
        pretrain(vjepa_parts(toy, tmp_path / name, **options))
    expected = losses(tmp_path / "none")
    assert losses(tmp_path / policy) == pytest.approx(expected, rel=1e-6)


@pytest.mark.compile
@pytest.mark.filterwarnings("default")  # the compiler warns of its own internals
def test_compilation_keeps_the_loss_and_the_names_in_the_checkpoint(toy, tmp_path, losses, weights):
    for name, compiled in (("plain", False), ("compiled", True)):
        pretrain(vjepa_parts(toy, tmp_path / name, steps=2, compile=compiled))
    assert losses(tmp_path / "compiled") == pytest.approx(losses(tmp_path / "plain"), rel=1e-4)
    assert weights(tmp_path / "compiled").keys() == weights(tmp_path / "plain").keys()

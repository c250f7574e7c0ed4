"""What only the diffusion transformer promises; tests/contracts has what every method does."""

import dataclasses
import json
import math
import signal
from itertools import count

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from worldmodel_train.cli.run_spec import pretrain_parts
from worldmodel_train.config import RecipeError
from worldmodel_train.recipe import load_recipe
from worldmodel_train.renderers.rectified_flow import SMALLEST_LEVEL
from worldmodel_train.renderers.video_diffusion import Config
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.reader import read_weights
from worldmodel_train.training.run import pretrain
from worldmodel_train.types import Clips, TokenGrid

SMALL = (
    "method.size={width: 24, depth: 1, heads: 2}", "method.sample_steps=2", "data.augment.size=16",
    "data.loader.workers=0", "train.global_batch=2", "train.micro_batch=1", "train.steps=4",
    "optim.lr.warmup_steps=1", "log.every_steps=1", "log.image_every=2",
)  # fmt: skip


@pytest.fixture
def objective():
    torch.manual_seed(0)
    return Config.tiny().build()


def test_the_operations_said_are_those_that_pytorch_counts(objective, monkeypatch):
    monkeypatch.setenv("WMT_KERNELS", "reference")  # whose operations it knows
    grid = TokenGrid(frames=2, height=2, width=3)
    point = torch.randn(1, *grid, 3 * 2 * 8 * 8)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        objective.denoiser(point, torch.tensor([0.5]))
    said = objective.denoiser.flops(grid)
    products = counter.get_flop_counts()["Global"]
    assert said.attention == products[torch.ops.aten.bmm]
    assert said.total == counter.get_total_flops()


@pytest.fixture
def clips():
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(256, (4, 4, 16, 24, 3), generator=generator, dtype=torch.uint8)
    return Clips(pixels=pixels, samples=(0, 1, 2, 3))


def test_tubelets_are_put_together_as_they_were_cut(objective, clips):
    tubelets = objective.tubelets(clips.pixels)
    assert tubelets.shape == (4, 2, 2, 3, 2 * 8 * 8 * 3)
    assert torch.equal(objective.pixels(tubelets), clips.pixels)
    first = clips.pixels[0, 2:4, 8:16, 16:24] / 127.5 - 1
    torch.testing.assert_close(tubelets[0, 1, 1, 2], first.flatten())


def test_the_first_loss_is_that_of_predicting_zero(objective, clips):
    torch.manual_seed(2)
    losses = objective.training_losses(clips)
    torch.manual_seed(2)
    level = objective.config.levels.draw(4, torch.device("cpu"))
    squared = objective.tubelets(clips.pixels).square().mean(dim=(1, 2, 3, 4))
    expected = (squared / level.clamp_min(SMALLEST_LEVEL) ** 2).mean()
    torch.testing.assert_close(losses.total, expected)
    torch.testing.assert_close(losses.terms["clean_error"], squared.mean())


def test_the_first_loss_is_known_before_the_levels_are(objective):
    white = torch.full((512, 2, 8, 8, 3), 255, dtype=torch.uint8)
    torch.manual_seed(2)
    loss = objective.training_losses(Clips(pixels=white, samples=tuple(range(512)))).total
    mean, std = objective.config.levels.mean, objective.config.levels.std
    expected = 1 + 2 * math.exp(-mean + std**2 / 2) + math.exp(-2 * mean + 2 * std**2)
    assert loss.item() == pytest.approx(expected, rel=0.1)


def test_samples_are_those_of_the_ema(objective, clips):
    noise = torch.randn(2, 2, 2, 3, 384, generator=torch.Generator().manual_seed(3))
    before = objective.sample(noise)
    torch.nn.init.ones_(objective.denoiser.head.bias)
    assert torch.equal(objective.sample(noise), before)
    torch.nn.init.ones_(objective.ema_denoiser.head.bias)
    assert (objective.sample(noise) == 255).all()  # the last step ends at the estimate


def test_pictures_are_the_same_each_time_and_touch_no_generator(objective, clips):
    state = torch.get_rng_state()
    first, second = objective.pictures(clips), objective.pictures(clips)
    assert torch.equal(torch.get_rng_state(), state)
    assert first["samples"].shape == (4 * 16, 4 * 24, 3)
    assert first["denoised"].shape == (4 * 3 * 16, 4 * 24, 3)
    assert torch.equal(first["denoised"][:16, :24], clips.pixels[0, 0])
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_stream_is_fp32_under_bf16(objective, clips):
    seen = []
    objective.denoiser.blocks[0].register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0].dtype)
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert objective.training_losses(clips).total.dtype == torch.float32
    assert seen == [torch.float32]


def test_clips_that_do_not_fit_are_refused_with_their_keys():
    def problems(*overrides):
        with pytest.raises(RecipeError) as caught:
            load_recipe("video_diffusion_tiny", overrides)
        return "\n".join(caught.value.problems)

    assert "48 is not a multiple of method.patch=7; use 42 or 49" in problems("method.patch=7")
    assert "use 8, as the first source" in problems("data.held_out.clip.frames=16")
    assert 'did you mean "tubelet"?' in problems("method.tublet=2")


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_as_an_unbroken_one_and_draws_samples(tmp_path):
    def run(name, *, stop_at=None):
        recipe = load_recipe("video_diffusion_tiny", [*SMALL, f"run_dir={tmp_path / name}"])
        parts = pretrain_parts(recipe, "auto")

        def batches(**place):
            for number, batch in zip(count(), parts.build_loader(**place), strict=False):
                if number == stop_at:
                    signal.raise_signal(signal.SIGTERM)
                yield batch

        if stop_at is not None:
            return pretrain(dataclasses.replace(parts, build_loader=batches))
        return pretrain(parts)

    run("one")
    assert run("two", stop_at=3).exit_code == 128 + signal.SIGTERM
    assert run("two").step == 4
    one, two = (read_weights(CheckpointFolder(tmp_path / name).last()) for name in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert one.keys() == two.keys()
    assert losses(tmp_path / "one") == losses(tmp_path / "two")
    events = EventAccumulator(str(tmp_path / "one" / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Images("samples")] == [0, 2, 4]


def losses(run_dir):
    lines = map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["loss"] for line in lines}

"""A decoder learns pixels of latents of a JEPA that stays as it is, and is not saved with it."""

import pytest
import torch
from einops import rearrange

from worldmodel_train.cli.measure import last_of, measure_checkpoint
from worldmodel_train.cli.objectives import build_objective, trained_objective
from worldmodel_train.cli.run_spec import pretrain_parts
from worldmodel_train.evaluation.result import load_result
from worldmodel_train.evaluation.tasks.decoded_prediction import PICTURES
from worldmodel_train.jepa.vjepa import Config as VJepaConfig
from worldmodel_train.models.blocks import BlocksConfig
from worldmodel_train.models.frozen import FrozenPart
from worldmodel_train.probes.linear_pixels import LinearPixels
from worldmodel_train.recipe import load_recipe, resolved_yaml
from worldmodel_train.renderers.latent_decoder import Config, LatentDecoder
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.imported import save_imported
from worldmodel_train.training.run import pretrain
from worldmodel_train.types import Clips

CPU = torch.device("cpu")
TINY = ("method.encoder.size={width: 48, depth: 1, heads: 2}", "method.predictor.width=24",
        "method.predictor.depth=1")  # fmt: skip


def decoder_of(jepa, **options):
    config = Config.tiny().model_copy(update=options)
    return LatentDecoder(config, jepa)


@pytest.fixture
def jepa():
    torch.manual_seed(0)
    return FrozenPart(VJepaConfig.tiny().build(), origin="a tiny V-JEPA")


@pytest.fixture
def clips():
    return drawn_clips(4)


def drawn_clips(count, seed=0, patterns=80):
    """Clips whose tubelets are each one of these patterns of noise."""
    noise = torch.Generator().manual_seed(7)
    book = torch.randint(256, (patterns, 2, 8, 8, 3), dtype=torch.uint8, generator=noise)
    drawn = torch.randint(patterns, (count, 4, 4), generator=torch.Generator().manual_seed(seed))
    return rearrange(book[drawn], "b h w x y z c -> b x (h y) (w z) c")


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_gradients_reach_the_decoder_and_not_the_jepa(jepa, clips, weight):
    perceptual = Config.tiny().perceptual.model_copy(update={"weight": weight})
    decoder = decoder_of(jepa, perceptual=perceptual)
    losses = decoder.training_losses(Clips(pixels=clips, samples=(0, 1, 2, 3)))
    losses.total.backward()
    assert ("features" in losses.terms) == (weight > 0)
    assert all(p.grad is not None and p.grad.any() for p in decoder.parameters())
    frozen = jepa.on(CPU)
    assert not any(p.requires_grad or p.grad is not None for p in frozen.parameters())
    assert {name.partition(".")[0] for name in decoder.state_dict()} == {"decoder"}


def test_features_change_the_gradient_of_the_pixels(jepa, clips):
    perceptual = Config.tiny().perceptual.model_copy(update={"weight": 1e3, "depth": 2})
    gradients = []
    for options in ({"perceptual": perceptual}, {}):
        torch.manual_seed(1)
        decoder = decoder_of(jepa, **options)
        decoder.training_losses(Clips(pixels=clips, samples=(0, 1, 2, 3))).total.backward()
        gradients.append(decoder.decoder.head.bias.grad)
    assert not torch.allclose(gradients[0] / 1e3, gradients[1] / 1e3, atol=1e-5)


def test_what_it_decodes_are_the_latents_that_the_predictor_aims_at(jepa, clips):
    decoder, seen = decoder_of(jepa, least_kept=1.0), []
    decoder.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    decoder.training_losses(Clips(pixels=clips, samples=(0, 1, 2, 3)))
    assert torch.equal(seen[0], jepa.on(CPU).encode(clips))


def test_tokens_are_decoded_without_those_that_are_left_out(jepa, clips):
    decoder = decoder_of(jepa)
    grid, latents = jepa.on(CPU).token_grid(clips), jepa.on(CPU).encode(clips)
    with torch.no_grad():
        part = decoder.decode(latents[:, :5], torch.arange(5)[None], grid)
        whole = decoder.decode(latents, torch.arange(16)[None], grid)
    assert part.shape == (4, 5, 8 * 8 * 2 * 3)
    assert not torch.allclose(part, whole[:, :5])


@pytest.mark.slow
def test_it_learns_more_than_the_mean_and_a_linear_map(jepa):
    """Of more patterns than a latent has channels, so that a linear map must confuse some."""
    torch.manual_seed(0)
    size = BlocksConfig(width=96, depth=1, heads=3)
    decoder, train, test = decoder_of(jepa, size=size), drawn_clips(96), drawn_clips(16, seed=1)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=5e-3)
    for step in range(75):
        rows = train[torch.arange(step * 24, step * 24 + 24) % len(train)]
        optimizer.zero_grad()
        decoder.training_losses(Clips(pixels=rows, samples=tuple(range(24)))).total.backward()
        optimizer.step()
    model, linear = jepa.on(CPU), LinearPixels()
    grid, index = model.token_grid(test), torch.arange(16)[None]
    linear.add(model.encode(train), decoder.tubelets(train))
    with torch.no_grad():
        ours = decoder.decode(model.encode(test), index, grid)
    truth, mean = decoder.tubelets(test), decoder.tubelets(train).mean(dim=0)
    errors = [
        float((answer.clamp(0, 1) - truth).square().mean())
        for answer in (ours, linear.decode(model.encode(test)), mean)
    ]
    assert errors[0] < 0.8 * errors[1]
    assert errors[1] < 0.8 * errors[2]


def test_a_part_without_a_predictor_and_clips_that_are_no_tokens_are_refused(jepa):
    config, data = Config.tiny(), load_recipe("demo").data.facts()
    with pytest.raises(ValueError, match=r"is a Linear, which predicts no latents .* part: \."):
        config.build(data, jepa=FrozenPart(torch.nn.Linear(2, 2), origin="it"))
    odd = load_recipe("demo", ["data.augment.size=112"]).data.facts()
    sixteen = VJepaConfig.tiny()
    sixteen = sixteen.model_copy(
        update={"encoder": sixteen.encoder.model_copy(update={"patch": 32})}
    )
    with pytest.raises(ValueError, match=r"data\.augment\.size: 112 is not a multiple of .*patch"):
        config.build(odd, jepa=FrozenPart(sixteen.build(), origin="it"))
    deep = config.perceptual.model_copy(update={"depth": 9})
    with pytest.raises(ValueError, match=r"perceptual\.depth=9, but .* has 2 blocks; use fewer"):
        config.model_copy(update={"perceptual": deep}).build(data, jepa=jepa)


@pytest.fixture
def recipe(tmp_path):
    """The shipped recipe, tiny, on a demo run as it was drawn."""
    demo = load_recipe("demo", TINY)
    torch.manual_seed(0)
    state = build_objective(demo).state_dict()
    save_imported(CheckpointFolder(tmp_path / "demo"), state, resolved_yaml(demo))
    small = (
        f"method.jepa.checkpoint={tmp_path / 'demo'}", "train.steps=2", "train.global_batch=4",
        "train.micro_batch=4", "optim.lr.warmup_steps=1", "data.loader.workers=0",
        "method.size={width: 48, depth: 1, heads: 2}", f"run_dir={tmp_path / 'run'}",
        "evaluation.decoded_prediction.max_clips=9",
        "evaluation.decoded_prediction.train_clips=8",
        "evaluation.decoded_prediction.picture_clips=1", "log.image_every=2",
    )  # fmt: skip
    return load_recipe("decoder_demo", small)


@pytest.mark.slow
def test_it_trains_from_its_recipe_saves_no_jepa_and_is_measured(recipe):
    result = pretrain(pretrain_parts(recipe, "auto"))
    decoder = trained_objective(result.checkpoint)
    assert {name.partition(".")[0] for name in decoder.state_dict()} == {"decoder"}
    run_dir = recipe.run_path
    measure_checkpoint(recipe, recipe.evaluation, last_of(recipe, run_dir), None)
    (measured,) = load_result(run_dir).measurements
    names = [number.name for number in measured.result.numbers]
    of_pixels = [name.partition(", ")[2] for name in names if name.startswith("PSNR")]
    assert of_pixels == [
        "decoded latents", "decoded prediction of the future",
        "decoded prediction of mask group 1", "decoded prediction of mask group 2",
    ]  # fmt: skip
    assert len(names) == 5
    assert names[1].startswith("SSIM")
    report = (run_dir / "report.html").read_text()
    files = {path.suffix for path in (run_dir / PICTURES).iterdir()}
    assert files == {".png", ".gif"}
    assert "data:image/gif;base64,R0lGOD" in report
    assert "data:image/png;base64,iVBOR" in report

"""MAE and VideoMAE; the loss of the latter against transformers' own."""

import pytest
import torch
from einops import rearrange
from transformers import VideoMAEConfig, VideoMAEForPreTraining

from worldmodel_train.jepa.mae import Config
from worldmodel_train.masks import RandomTubes
from worldmodel_train.masks.draw import draw_masks
from worldmodel_train.models.blocks import BlocksConfig
from worldmodel_train.models.predictor import PredictorConfig
from worldmodel_train.models.sincos import SinCos1d
from worldmodel_train.models.token_sets import TokenSet
from worldmodel_train.models.tubelet_embed import IMAGENET_MEAN, IMAGENET_STD
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.types import ClipGroup, MaskedClips, TokenGrid

PATCH, TUBELET = 8, 2


@pytest.fixture
def objective():
    torch.manual_seed(0)
    return Config.tiny().build()


def masked(config, number=3):
    generator = torch.Generator().manual_seed(1)
    clips = torch.randint(0, 256, (number, 4, 32, 32, 3), dtype=torch.uint8, generator=generator)
    grid = TokenGrid.of(4, 32, 32, tubelet=TUBELET, patch=PATCH)
    masks = draw_masks(config.masks, grid, seed=0, step=0, samples=range(number))
    return MaskedClips(groups=(ClipGroup(clips=clips, masks=masks),))


def test_what_is_hidden_does_not_reach_the_painting(objective):
    content = masked(objective.config)
    (group,) = content.groups
    (masks,) = group.masks
    grid = objective.token_grid(group.clips)
    hidden = torch.zeros(3, grid.num_tokens, dtype=torch.bool)
    hidden.scatter_(1, masks.target_index[:, 0], value=True)
    pixels = rearrange(hidden, "b (t h w) -> b t h w", t=grid.frames, h=grid.height)
    for axis, times in ((1, TUBELET), (2, PATCH), (3, PATCH)):
        pixels = pixels.repeat_interleave(times, dim=axis)
    other = torch.where(pixels[..., None], 255 - group.clips, group.clips)
    contexts = [objective.encoder(clips, [_context(masks)]) for clips in (group.clips, other)]
    assert torch.equal(contexts[0][0], contexts[1][0])


@pytest.mark.parametrize("normalised", ["patch", "channel"])
def test_light_and_contrast_of_what_is_hidden_do_not_count(normalised):
    torch.manual_seed(0)
    objective = Config.tiny().model_copy(update={"normalised": normalised}).build()
    pixels = torch.rand(2, 5, 3 * TUBELET * PATCH**2)
    changed = objective._normalised(0.3 * pixels + 0.4)
    torch.testing.assert_close(changed, objective._normalised(pixels), atol=1e-4, rtol=1e-3)


def test_to_paint_nothing_costs_the_variance_of_what_is_hidden(objective):
    content = masked(objective.config)
    (group,) = content.groups
    (masks,) = group.masks
    true = objective._errors(
        torch.zeros(3, 1, masks.target_index.shape[2], 384), group.clips, masks
    )
    # pixels have variance 1 by their normalisation (divisor: one less than their number)
    torch.testing.assert_close(true, torch.full_like(true, 383 / 384), atol=1e-4, rtol=0)


def test_the_loss_is_that_of_transformers_with_the_same_weights():
    """Both in fp32; theirs adds 1e-12 and 1e-5 to variances where ours adds 1e-6."""
    torch.manual_seed(0)
    theirs = VideoMAEForPreTraining(
        VideoMAEConfig(
            image_size=32, patch_size=PATCH, num_frames=4, tubelet_size=TUBELET, hidden_size=48,
            num_hidden_layers=2, num_attention_heads=3, intermediate_size=192,
            decoder_hidden_size=32, decoder_num_hidden_layers=1, decoder_num_attention_heads=2,
            decoder_intermediate_size=128,
        )
    ).eval()  # fmt: skip
    with torch.no_grad():  # biases begin at 0, and would hide a wrong order
        for parameter in theirs.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    ours = _with_weights_of(theirs)
    content = masked(ours.config)
    (group,) = content.groups
    hidden = torch.zeros(3, 32, dtype=torch.bool)
    hidden.scatter_(1, group.masks[0].target_index[:, 0], value=True)
    mean, std = (torch.tensor(values) for values in (IMAGENET_MEAN, IMAGENET_STD))
    pixels = rearrange((group.clips / 255 - mean) / std, "b t h w c -> b t c h w")
    with torch.no_grad():
        expected = theirs(pixels, bool_masked_pos=hidden).loss
        found = ours.training_losses(content).total
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)


def _context(masks):
    return TokenSet(masks.context_index)


def _with_weights_of(theirs):
    position = SinCos1d(grid=(2, 4, 4))
    ours = Config(
        encoder=EncoderConfig(
            size=BlocksConfig(width=48, depth=2, heads=3),
            patch=PATCH,
            tubelet=TUBELET,
            position=position,
            last_norm="none",
        ),
        decoder=PredictorConfig(width=32, depth=1, heads=2),
        masks=(RandomTubes(hidden=0.5),),
        normalised="channel",
    ).build()
    state = theirs.state_dict()
    embedded = "videomae.embeddings.patch_embeddings.projection"
    mapped = {
        "encoder.patch_embed.proj.weight": state[f"{embedded}.weight"].flatten(1),
        "encoder.patch_embed.proj.bias": state[f"{embedded}.bias"],
        "decoder.mask_tokens": state["mask_token"][0],
        "decoder.embed.weight": state["encoder_to_decoder.weight"],
        "decoder.embed.bias": torch.zeros(32),
        "decoder.norm.weight": state["decoder.norm.weight"],
        "decoder.norm.bias": state["decoder.norm.bias"],
        # their pixels have colours last
        "decoder.proj.weight": rearrange(state["decoder.head.weight"], "(x c) d -> (c x) d", c=3),
        "decoder.proj.bias": rearrange(state["decoder.head.bias"], "(x c) -> (c x)", c=3),
    }
    for i in range(2):
        mapped |= _block(state, f"videomae.encoder.layer.{i}", f"encoder.blocks.{i}")
    mapped |= _block(state, "decoder.decoder_layers.0", "decoder.blocks.0")
    ours.load_state_dict(mapped)
    return ours.eval()


def _block(state, theirs, ours):
    attention = f"{theirs}.attention.attention"
    parts = ("query", "key", "value")
    biases = [state.get(f"{attention}.{part}.bias") for part in parts]
    zeros = torch.zeros_like(biases[0])
    block = {
        f"{ours}.attn.qkv.weight": torch.cat([state[f"{attention}.{p}.weight"] for p in parts]),
        f"{ours}.attn.qkv.bias": torch.cat([zeros if b is None else b for b in biases]),
    }
    for name, other in (
        ("attn.proj", "attention.output.dense"),
        ("mlp.fc1", "intermediate.dense"),
        ("mlp.fc2", "output.dense"),
        ("norm1", "layernorm_before"),
        ("norm2", "layernorm_after"),
    ):
        for kind in ("weight", "bias"):
            block[f"{ours}.{name}.{kind}"] = state[f"{theirs}.{other}.{kind}"]
    return block

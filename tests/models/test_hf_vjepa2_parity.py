"""Our V-JEPA 2 equals Hugging Face's, with the same random weights, in fp32."""

import pytest
import torch
from einops import rearrange
from transformers import VJEPA2Config, VJEPA2Model

from worldmodel_train.models.blocks import BlocksConfig
from worldmodel_train.models.predictor import Predictor, PredictorConfig
from worldmodel_train.models.rope import Rope3dVJepa2
from worldmodel_train.models.token_sets import TokenSet
from worldmodel_train.models.tubelet_embed import IMAGENET_MEAN, IMAGENET_STD
from worldmodel_train.models.vit import EncoderConfig, VisionTransformer
from worldmodel_train.types import Masks, TokenGrid

GRID = TokenGrid(frames=4, height=3, width=3)
NUM_CONTEXT = 11


@pytest.fixture
def theirs() -> VJEPA2Model:
    torch.manual_seed(0)
    config = VJEPA2Config(
        patch_size=8,
        crop_size=24,
        frames_per_clip=8,
        tubelet_size=2,
        hidden_size=64,
        num_attention_heads=2,
        num_hidden_layers=3,
        pred_hidden_size=48,
        pred_num_attention_heads=2,
        pred_num_hidden_layers=2,
        pred_num_mask_tokens=2,
        pred_zero_init_mask_tokens=False,
    )
    model = VJEPA2Model(config).eval()
    for parameter in model.parameters():  # biases and mask tokens too, or they prove nothing
        torch.nn.init.normal_(parameter, std=0.25)
    return model


@pytest.fixture
def encoder(theirs) -> VisionTransformer:
    size = BlocksConfig(width=64, depth=3, heads=2)
    config = EncoderConfig(size=size, patch=8, tubelet=2, position=Rope3dVJepa2())
    model = config.build()
    source = theirs.encoder.state_dict()
    state = _blocks(source) | {
        "patch_embed.proj.weight": source["embeddings.patch_embeddings.proj.weight"].flatten(1),
        "patch_embed.proj.bias": source["embeddings.patch_embeddings.proj.bias"],
    }
    model.load_state_dict(state)
    return model


@pytest.fixture
def predictor(theirs) -> Predictor:
    size = BlocksConfig(width=64, depth=3, heads=2)
    encoder = EncoderConfig(size=size, patch=8, tubelet=2, position=Rope3dVJepa2())
    model = PredictorConfig(width=48, depth=2, heads=2, mask_tokens=2).build(encoder)
    source = theirs.predictor.state_dict()
    state = _blocks(source) | {
        "embed.weight": source["embeddings.predictor_embeddings.weight"],
        "embed.bias": source["embeddings.predictor_embeddings.bias"],
        "mask_tokens": source["embeddings.mask_tokens"].flatten(1),
        "proj.weight": source["proj.weight"],
        "proj.bias": source["proj.bias"],
    }
    model.load_state_dict(state)
    return model


@pytest.fixture
def clips() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, 8, 24, 24, 3), dtype=torch.uint8, generator=generator)


@pytest.fixture
def masks() -> Masks:
    generator = torch.Generator().manual_seed(2)
    order = torch.stack([torch.randperm(GRID.num_tokens, generator=generator) for _ in range(2)])
    return Masks(
        context_index=order[:, :NUM_CONTEXT],
        target_index=rearrange(order[:, NUM_CONTEXT:-3], "b (g m) -> b g m", g=2),
    )


def test_encoder_on_the_full_clip(theirs, encoder, clips):
    with torch.no_grad():
        expected = theirs(_normalised(clips), skip_predictor=True).last_hidden_state
        assert _relative_error(encoder(clips)[0], expected) < 1e-5


def test_encoder_on_kept_tokens_as_in_pretraining(theirs, encoder, clips, masks):
    index = masks.context_index
    with torch.no_grad():
        expected = _encode_kept(theirs, clips, index)
        assert _relative_error(encode(encoder, clips, index), expected) < 1e-5


def test_dropping_tokens_before_encoding_differs_from_dropping_them_after(encoder, clips, masks):
    index = masks.context_index
    with torch.no_grad():
        dropped_after = encoder(clips)[0][torch.arange(2)[:, None], index]
        assert _relative_error(encode(encoder, clips, index), dropped_after) > 1e-2


@pytest.mark.parametrize("target_set", [0, 1])
def test_predictor_with_masks(theirs, encoder, predictor, clips, masks, target_set):
    with torch.no_grad():
        expected = theirs(
            _normalised(clips),
            context_mask=[masks.context_index],
            target_mask=[masks.target_index[:, target_set]],
        ).predictor_output.last_hidden_state
        context = encoder(clips)[0][torch.arange(2)[:, None], masks.context_index]
        (predicted,) = predictor([context], [masks], GRID, [1])  # theirs always takes token 1
    assert _relative_error(predicted[:, target_set], expected) < 1e-5


def test_pretraining_path_from_pixels_to_predictions(theirs, encoder, predictor, clips, masks):
    index, targets = masks.context_index, masks.target_index[:, 0]
    with torch.no_grad():
        kept = _encode_kept(theirs, clips, index)
        # Their predictor gathers the context itself; scattered latents make it find ours.
        scattered = torch.full((2, GRID.num_tokens, 64), torch.nan)
        scattered[torch.arange(2)[:, None], index] = kept
        expected = theirs.predictor(scattered, [index], [targets]).last_hidden_state
        (predicted,) = predictor([encode(encoder, clips, index)], [masks], GRID, [1])
    assert _relative_error(predicted[:, 0], expected) < 1e-5


def encode(encoder, clips, index):
    (latents,) = encoder(clips, [TokenSet(index)])
    return latents


def _encode_kept(theirs, clips, index):
    tokens = theirs.encoder.embeddings(_normalised(clips))
    tokens = tokens[torch.arange(len(clips))[:, None], index]
    for layer in theirs.encoder.layer:
        tokens = layer(tokens, position_mask=index)[0]
    return theirs.encoder.layernorm(tokens)


def _normalised(clips):
    pixels = (clips / 255.0 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    return rearrange(pixels, "b t h w c -> b t c h w")


def _blocks(source):
    """Their layers and last norm under our names."""
    state = {}
    for i in range(1 + max(int(k.split(".")[1]) for k in source if k.startswith("layer."))):
        for kind in ("weight", "bias"):
            for part in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                state[f"blocks.{i}.{part}.{kind}"] = source[f"layer.{i}.{part}.{kind}"]
            attention = f"layer.{i}.attention"
            qkv = [source[f"{attention}.{x}.{kind}"] for x in ("query", "key", "value")]
            state[f"blocks.{i}.attn.qkv.{kind}"] = torch.cat(qkv)
            state[f"blocks.{i}.attn.proj.{kind}"] = source[f"{attention}.proj.{kind}"]
    return state | {f"norm.{kind}": source[f"layernorm.{kind}"] for kind in ("weight", "bias")}


def _relative_error(actual, expected):
    return ((actual - expected).norm() / expected.norm()).item()

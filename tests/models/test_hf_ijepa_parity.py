"""Our I-JEPA encoder equals Hugging Face's, with the same random weights, in fp32."""

import pytest
import torch
from einops import rearrange
from transformers import IJepaConfig, IJepaModel

from worldmodel_train.models.blocks import BlocksConfig
from worldmodel_train.models.sincos import SinCos2d
from worldmodel_train.models.token_sets import TokenSet
from worldmodel_train.models.tubelet_embed import IMAGENET_MEAN, IMAGENET_STD
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.types import TokenGrid


@pytest.fixture
def theirs():
    torch.manual_seed(0)
    config = IJepaConfig(
        image_size=32,
        patch_size=8,
        hidden_size=48,
        num_attention_heads=2,
        num_hidden_layers=3,
        intermediate_size=192,
        layer_norm_eps=1e-6,
    )
    model = IJepaModel(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.25)
    positions = SinCos2d().add(torch.zeros(1, 16, 48), torch.arange(16)[None], TokenGrid(1, 4, 4))
    model.embeddings.position_embeddings.data.copy_(positions)
    return model


@pytest.fixture
def ours(theirs):
    size = BlocksConfig(width=48, depth=3, heads=2)
    model = EncoderConfig(size=size, patch=8, tubelet=1, position=SinCos2d()).build()
    model.load_state_dict(_state(theirs.state_dict(), depth=3))
    return model


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, 1, 32, 32, 3), dtype=torch.uint8, generator=generator)


def test_encoder_on_the_whole_image(theirs, ours, images):
    with torch.no_grad():
        expected = theirs(_normalised(images)).last_hidden_state
        assert _relative_error(ours(images)[0], expected) < 1e-5


def test_encoder_on_kept_patches_as_in_pretraining(theirs, ours, images):
    generator = torch.Generator().manual_seed(2)
    index = torch.stack([torch.randperm(16, generator=generator)[:7] for _ in range(2)])
    with torch.no_grad():
        tokens = theirs.embeddings(_normalised(images))[torch.arange(2)[:, None], index]
        for layer in theirs.layers:
            tokens = layer(tokens)
        expected = theirs.layernorm(tokens)
        assert _relative_error(ours(images, [TokenSet(index)])[0], expected) < 1e-5


def _normalised(images):
    pixels = (images / 255.0 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    return rearrange(pixels, "b 1 h w c -> b c h w")


def _state(source, depth):
    state = {"patch_embed.proj.weight": source["embeddings.patch_embeddings.projection.weight"]}
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"].flatten(1)
    state["patch_embed.proj.bias"] = source["embeddings.patch_embeddings.projection.bias"]
    names = {
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "attn.proj": "attention.o_proj",
        "mlp.fc1": "mlp.fc1",
        "mlp.fc2": "mlp.fc2",
    }
    for kind in ("weight", "bias"):
        state[f"norm.{kind}"] = source[f"layernorm.{kind}"]
        for i in range(depth):
            for our_name, their_name in names.items():
                state[f"blocks.{i}.{our_name}.{kind}"] = source[f"layers.{i}.{their_name}.{kind}"]
            qkv = [source[f"layers.{i}.attention.{x}_proj.{kind}"] for x in "qkv"]
            state[f"blocks.{i}.attn.qkv.{kind}"] = torch.cat(qkv)
    return state


def _relative_error(actual, expected):
    return ((actual - expected).norm() / expected.norm()).item()

import math

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from worldmodel_train.models.position import Position
from worldmodel_train.models.sincos import SinCos3d
from worldmodel_train.models.token_sets import TokenSet
from worldmodel_train.models.vit import SIZES, EncoderConfig

SMALL = {"width": 48, "depth": 3, "heads": 2}


@pytest.fixture
def clips():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 4, 32, 32, 3), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(
    ("size", "millions"),
    [("vit_tiny", 5.6), ("vit_large", 303.9), ("vit_huge", 631.6), ("vit_giant", 1012.2)],
)
def test_named_sizes_have_the_published_number_of_parameters(size, millions):
    with torch.device("meta"):
        encoder = EncoderConfig(size=size).build()
    count = sum(p.numel() for p in encoder.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.1)


def test_the_giant_has_the_released_mlp_width():
    assert SIZES["vit_giant"].mlp_width == 6144


def test_a_size_may_be_spelled_in_numbers():
    assert EncoderConfig.model_validate({"size": SMALL}).blocks.head_width == 24
    spelled = EncoderConfig.model_validate({"size": "vit_base"})
    assert spelled.blocks == SIZES["vit_base"]
    assert spelled.model_dump()["size"] == "vit_base"


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("vit_larg", "vit_large"),
        ({"width": 48, "depth": 2}, "heads"),
        ({"width": 50, "depth": 2, "heads": 3}, "width=50 does not split into heads=3"),
        ({"width": 48, "depth": 2, "heads": 12}, "at least 6"),
    ],
)
def test_a_wrong_size_is_refused_with_a_remedy(size, message):
    with pytest.raises(ValidationError, match=message) as caught:
        EncoderConfig.model_validate({"size": size})
    assert caught.value.error_count() == 1


@pytest.mark.parametrize("name", ["rope3d", "rope3d_vjepa2", "sincos3d", "sincos2d"])
def test_positions_are_chosen_by_name(name):
    position = TypeAdapter(Position).validate_python({"name": name})
    assert position.model_dump() == {"name": name}


def test_initial_weights_have_the_published_spread():
    torch.manual_seed(0)
    encoder = EncoderConfig.model_validate({"size": {"width": 192, "depth": 4, "heads": 3}}).build()
    assert encoder.patch_embed.proj.weight.std().item() == pytest.approx(0.02, rel=0.02)
    for depth, block in enumerate(encoder.blocks, start=1):
        for plain in (block.attn.qkv, block.mlp.fc1):
            assert plain.weight.std().item() == pytest.approx(0.02, rel=0.02)
        for rescaled in (block.attn.proj, block.mlp.fc2):
            expected = 0.02 / math.sqrt(2 * depth)
            assert rescaled.weight.std().item() == pytest.approx(expected, rel=0.02)
    linears = [m for m in encoder.modules() if isinstance(m, torch.nn.Linear)]
    assert all(not linear.bias.any() for linear in linears)


@pytest.mark.parametrize("name", ["rope3d", "sincos3d"])
def test_naming_all_tokens_in_any_order_gives_the_full_clip(clips, name):
    config = EncoderConfig.model_validate({"size": SMALL, "patch": 8, "position": {"name": name}})
    encoder = config.build()
    order = torch.randperm(32)
    (latents,) = encoder(clips, [TokenSet(order.expand(2, -1))])
    (everything,) = encoder(clips)
    torch.testing.assert_close(latents, everything[:, order], rtol=1e-4, atol=1e-5)


def test_positions_are_not_part_of_the_checkpoint():
    config = EncoderConfig.model_validate({"size": SMALL})
    rotary = config.build().state_dict()
    added = config.model_copy(update={"position": SinCos3d()}).build().state_dict()
    assert rotary.keys() == added.keys()
    assert {name.split(".")[0] for name in rotary} == {"patch_embed", "blocks", "norm"}


def test_without_a_last_norm_latents_are_the_stream_in_fp32(clips):
    config = EncoderConfig.model_validate({"size": SMALL, "patch": 8, "last_norm": "none"})
    encoder = config.build().bfloat16()
    (latents,) = encoder(clips)
    (stream,) = encoder(clips, layer=len(encoder.blocks))
    assert latents.dtype == torch.float32
    assert torch.equal(latents, stream.float())


def test_tokens_tell_their_places_apart(clips):
    grey = torch.full_like(clips, 128)
    encoder = EncoderConfig.model_validate(
        {"size": SMALL, "patch": 8, "position": {"name": "sincos3d"}}
    ).build()
    assert torch.pdist(encoder(grey)[0][0]).min() > 1e-3


def test_tubelets_are_embedded_by_the_kernels_op(clips, monkeypatch):
    monkeypatch.setenv("WMT_KERNELS", "triton")
    encoder = EncoderConfig.model_validate({"size": SMALL, "patch": 8}).build()
    with pytest.raises(ValueError, match="tubelet_mask cannot use Triton: tensors are on cpu"):
        encoder(clips)

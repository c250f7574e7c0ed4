"""V-JEPA 2.1 in Meta's layout: the released names and shapes, and what is computed from them."""

import pytest
import torch

from tests.interop import released_vjepa21 as released
from worldmodel_train.interop import (
    CheckpointError,
    ClipSize,
    export_checkpoint,
    import_checkpoint,
)
from worldmodel_train.jepa.vjepa21 import Config
from worldmodel_train.models.blocks import BlocksConfig
from worldmodel_train.models.multilevel_vit import MultilevelEncoderConfig
from worldmodel_train.models.position import Rope3d
from worldmodel_train.models.predictor import PredictorConfig
from worldmodel_train.types import ClipGroup, Masks

WIDTH, DEPTH, HEADS = 48, 6, 3
NARROW, SHALLOW, PREDICTOR_HEADS = 24, 2, 2
LEVELS = (1, 3, 4, 6)
CLIP = ClipSize(frames=4, height=32, width=40)
PARTS = ("context_encoder", "target_encoder", "predictor")


def build(seed=0, **of_encoder):
    """All weights are random, biases and mask tokens too."""
    torch.manual_seed(seed)
    size = BlocksConfig(width=WIDTH, depth=DEPTH, heads=HEADS)
    objective = Config(
        encoder=MultilevelEncoderConfig(size=size, patch=8, tubelet=2, **of_encoder),
        predictor=PredictorConfig(
            width=NARROW, depth=SHALLOW, heads=PREDICTOR_HEADS, mask_tokens=8
        ),
        masks=Config.tiny().masks,
    ).build()
    with torch.no_grad():
        for parameter in objective.parameters():
            parameter.normal_(std=0.25)
    return objective


def shapes_of_blocks(name, depth, width):
    linear = {"attn.qkv": (3 * width, width), "attn.proj": (width, width)}
    linear |= {"mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}
    for number in range(depth):
        for part, (out, into) in linear.items():
            yield f"{name}.{number}.{part}.weight", (out, into)
            yield f"{name}.{number}.{part}.bias", (out,)
        for part in ("norm1", "norm2"):
            yield f"{name}.{number}.{part}.weight", (width,)
            yield f"{name}.{number}.{part}.bias", (width,)


def released_encoder_shapes():
    """Read off app/vjepa_2_1/models/vision_transformer.py of facebookresearch/vjepa2."""
    shapes = dict(shapes_of_blocks("blocks", DEPTH, WIDTH))
    shapes |= {f"{m}_mod_embed": (1, 1, WIDTH) for m in ("img", "video")}
    for embed, frames in (("patch_embed", 2), ("patch_embed_img", 1)):
        shapes |= {f"{embed}.proj.weight": (WIDTH, 3, frames, 8, 8)}
        shapes |= {f"{embed}.proj.bias": (WIDTH,)}
    for level in range(4):
        shapes |= {f"norms_block.{level}.{leaf}": (WIDTH,) for leaf in ("weight", "bias")}
    return shapes


def released_predictor_shapes():
    """Read off app/vjepa_2_1/models/predictor.py, with a head for the context."""
    shapes = dict(shapes_of_blocks("predictor_blocks", SHALLOW, NARROW))
    shapes |= {f"{m}_mod_embed": (1, 1, NARROW) for m in ("img", "video")}
    shapes |= {f"mask_tokens.{j}": (1, 1, NARROW) for j in range(8)}
    linear = {"predictor_embed.0": (WIDTH, 4 * WIDTH), "predictor_embed.2": (NARROW, WIDTH)}
    linear |= {"predictor_proj": (4 * WIDTH, NARROW), "predictor_proj_context": (4 * WIDTH, NARROW)}
    for name, (out, into) in linear.items():
        shapes |= {f"{name}.weight": (out, into), f"{name}.bias": (out,)}
    return shapes | {f"predictor_norm.{leaf}": (NARROW,) for leaf in ("weight", "bias")}


def drawn(shapes, seed):
    generator = torch.Generator().manual_seed(seed)
    return {name: 0.2 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


@pytest.fixture
def weights():
    """Under the released names."""
    return {
        "encoder": drawn(released_encoder_shapes(), 1),
        "target_encoder": drawn(released_encoder_shapes(), 2),
        "predictor": drawn(released_predictor_shapes(), 3),
    }


@pytest.fixture
def file(tmp_path, weights):
    """Them in a file, with the prefixes of the released wrappers."""
    content = {
        key: {f"module.backbone.{name}": tensor for name, tensor in state.items()}
        for key, state in weights.items()
    }
    torch.save(content, tmp_path / "released.pt")
    return tmp_path / "released.pt"


def clips(frames):
    generator = torch.Generator().manual_seed(0)
    shape = (2, frames, CLIP.height, CLIP.width, 3)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def test_the_released_names_and_shapes_come_in_and_go_out_again_bit_equal(tmp_path, weights, file):
    objective = build()
    report = import_checkpoint(file, objective)
    assert report.loaded == dict(zip(PARTS, weights, strict=True))
    export_checkpoint(objective, tmp_path / "out.pt", layout="meta", clip=CLIP)
    content = torch.load(tmp_path / "out.pt", weights_only=True)
    for key, state in weights.items():
        written = {k.removeprefix("module.backbone."): v for k, v in content[key].items()}
        assert written.keys() == state.keys()
        assert all(torch.equal(written[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("frames", [1, 4])
def test_the_encoder_computes_what_the_released_one_does(weights, file, frames):
    objective = build()
    import_checkpoint(file, objective)
    pixels = clips(frames)
    expected, _ = released.encode(weights["target_encoder"], pixels, heads=HEADS, depths=LEVELS)
    with torch.no_grad():
        (levels,) = objective.target_encoder(pixels, levels="all")
        (last,) = objective.target_encoder(pixels)
    # fp32 through six blocks, in another order
    torch.testing.assert_close(levels, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(last, levels[..., -WIDTH:])


@pytest.mark.parametrize("frames", [1, 4])
def test_encoder_and_predictor_say_what_the_released_ones_do_of_masked_clips(weights, file, frames):
    objective = build()
    import_checkpoint(file, objective)
    pixels = clips(frames)
    tokens = objective.token_grid(pixels).num_tokens
    order = torch.stack(
        [torch.randperm(tokens, generator=torch.Generator().manual_seed(i)) for i in range(2)]
    )
    seen, hidden = order[:, : tokens // 3], order[:, tokens // 2 :]
    context, grid = released.encode(
        weights["encoder"], pixels, heads=HEADS, depths=LEVELS, index=seen
    )
    expected = released.predict(
        weights["predictor"], context, (seen, hidden),
        grid=grid, heads=PREDICTOR_HEADS, image=frames == 1,
    )  # fmt: skip
    masks = Masks(context_index=seen, target_index=hidden[:, None])
    group = ClipGroup(clips=pixels, masks=(masks,))
    with torch.no_grad():
        said = objective._say(objective.encode_context(group), group)
    for (ours,), theirs in zip(said, expected, strict=True):
        torch.testing.assert_close(ours[:, 0], theirs, rtol=1e-4, atol=1e-4)


def test_the_distilled_files_have_their_teacher_under_another_name(tmp_path, weights, file):
    content = torch.load(file, weights_only=True)
    content["ema_encoder"] = content.pop("target_encoder")
    torch.save(content, tmp_path / "distilled.pt")
    objective = build()
    report = import_checkpoint(tmp_path / "distilled.pt", objective)
    assert report.loaded["target_encoder"] == "ema_encoder"
    norm = objective.target_encoder.norm.weight
    assert torch.equal(norm, weights["target_encoder"]["norms_block.3.weight"])


def test_a_predictor_of_one_level_is_refused_with_what_differs(tmp_path, file):
    """As the distilled ones have it, of their teacher's width."""
    content = torch.load(file, weights_only=True)
    content["predictor"]["module.backbone.predictor_proj.weight"] = torch.zeros(64, NARROW)
    torch.save(content, tmp_path / "distilled.pt")
    with pytest.raises(CheckpointError, match=r"predictor_proj\.weight"):
        import_checkpoint(tmp_path / "distilled.pt", build())


@pytest.mark.parametrize("missing", ["norms_block.0.weight", "img_mod_embed"])
def test_a_file_that_lacks_a_tensor_is_refused(tmp_path, file, missing):
    content = torch.load(file, weights_only=True)
    del content["encoder"][f"module.backbone.{missing}"]
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=missing):
        import_checkpoint(tmp_path / "other.pt", build())


def test_other_positions_and_other_layouts_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="rope3d_interpolated"):
        export_checkpoint(build(position=Rope3d()), tmp_path / "a.pt", layout="meta", clip=CLIP)
    with pytest.raises(CheckpointError, match="Meta's layout"):
        export_checkpoint(build(), tmp_path / "b", layout="huggingface", clip=CLIP)

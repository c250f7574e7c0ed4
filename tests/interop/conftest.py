import pytest
import torch

from worldmodel_train.jepa.vjepa import Config
from worldmodel_train.models.blocks import BlocksConfig
from worldmodel_train.models.position import Rope3d, Rope3dVJepa2, SinCos2d, SinCos3d
from worldmodel_train.models.predictor import PredictorConfig
from worldmodel_train.models.vit import EncoderConfig

POSITIONS = {
    "rope3d": Rope3d(),
    "rope3d_vjepa2": Rope3dVJepa2(),
    "sincos2d": SinCos2d(),
    "sincos3d": SinCos3d(),
}


def build(
    position="rope3d_vjepa2",
    *,
    seed=0,
    depth=2,
    heads=2,
    mask_tokens=None,
    mlp="gelu",
    **of_encoder,
):
    """A tiny objective all of whose weights are random, biases and mask tokens too."""
    image = position == "sincos2d"
    torch.manual_seed(seed)
    objective = Config(
        encoder=EncoderConfig(
            size=BlocksConfig(width=48, depth=depth, heads=heads, mlp_ratio=48 / 11, mlp=mlp),
            patch=8,
            tubelet=1 if image else 2,
            position=POSITIONS[position],
            **of_encoder,
        ),
        predictor=PredictorConfig(
            width=24,
            depth=2,
            heads=2,
            mask_tokens=mask_tokens or (1 if image else 2),
            mlp=mlp,
        ),
        masks=Config.tiny().masks,
    ).build()
    with torch.no_grad():
        for parameter in objective.parameters():
            parameter.normal_(std=0.25)
    return objective


@pytest.fixture
def build_objective():
    return build


@pytest.fixture
def clips():
    """Uint8 clips of the size for which the tests export: 4 frames (1 of images) of 32 px."""

    def make(frames=4):
        generator = torch.Generator().manual_seed(0)
        shape = (2, frames, 32, 32, 3)
        return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)

    return make

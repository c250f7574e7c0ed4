"""Counts from configurations agree with models, with torch's counter, and with known figures."""

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from worldmodel_train.models.blocks import BlocksConfig
from worldmodel_train.models.flops import (
    Flops,
    MaskTokens,
    clip_cost,
    encoder_forward,
    encoder_parameters,
    model_flops,
    predictor_forward,
    predictor_parameters,
)
from worldmodel_train.models.predictor import PredictorConfig
from worldmodel_train.models.sincos import SinCos3d
from worldmodel_train.models.token_sets import TokenSet
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.types import Masks

ENCODER = EncoderConfig(
    size=BlocksConfig(width=48, depth=3, heads=4, mlp_ratio=48 / 11), patch=8, position=SinCos3d()
)
PREDICTOR = PredictorConfig(width=24, depth=2, heads=2, mask_tokens=3)
SWIGLU = ENCODER.model_copy(
    update={"size": BlocksConfig(width=48, depth=3, heads=4, mlp_ratio=48 / 11, mlp="swiglu")}
)
SWIGLU_PREDICTOR = PREDICTOR.model_copy(update={"mlp": "swiglu"})
VJEPA2_PREDICTOR = PredictorConfig(width=384, depth=12, heads=12, mask_tokens=2)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("encoder", "predictor"), [(ENCODER, PREDICTOR), (SWIGLU, SWIGLU_PREDICTOR)]
)
def test_parameters_are_those_of_the_model(encoder, predictor):
    assert encoder_parameters(encoder) == count(encoder.build())
    assert predictor_parameters(predictor, encoder) == count(predictor.build(encoder))


def test_parameters_are_those_of_a_model_without_its_last_norm():
    without_norm = ENCODER.model_copy(update={"last_norm": "none"})
    assert encoder_parameters(without_norm) == count(without_norm.build())


@pytest.mark.parametrize(
    ("size", "millions"), [("vit_large", 303.9), ("vit_huge", 631.6), ("vit_giant", 1012.2)]
)
def test_parameters_of_the_published_sizes_are_the_published_ones(size, millions):
    encoder = EncoderConfig(size=size)
    assert encoder_parameters(encoder) / 1e6 == pytest.approx(millions, abs=0.1)
    assert predictor_parameters(VJEPA2_PREDICTOR, encoder) / 1e6 == pytest.approx(22, abs=0.5)


def measured(run) -> int:
    # The math kernel is made of plain products, which the counter knows in both directions.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


@pytest.mark.parametrize("config", [ENCODER, SWIGLU])
def test_an_encoder_pass_costs_what_torch_counts(config):
    encoder = config.build()
    clips = torch.randint(0, 256, (1, 4, 32, 32, 3), dtype=torch.uint8)
    index = torch.tensor([[0, 3, 7, 9, 20]])
    assert measured(lambda: encoder(clips)) == encoder_forward(config, 32).total
    assert measured(lambda: encoder(clips, [TokenSet(index)])) == encoder_forward(config, 5).total


def test_a_predictor_pass_costs_what_torch_counts_for_several_target_sets():
    predictor = PREDICTOR.build(ENCODER)
    masks = Masks(
        context_index=torch.tensor([[0, 3, 7]]),
        target_index=torch.tensor([[[1, 2, 4, 5], [8, 9, 10, 11]]]),
    )
    grid = ENCODER.build().token_grid(torch.zeros(1, 4, 32, 32, 3, dtype=torch.uint8))
    flops = measured(lambda: predictor([torch.zeros(1, 3, 48)], [masks], grid, [0]))
    assert flops == predictor_forward(PREDICTOR, ENCODER, MaskTokens(3, 4, 2)).total


@pytest.mark.parametrize(
    ("of_encoder", "of_predictor"), [(ENCODER, PREDICTOR), (SWIGLU, SWIGLU_PREDICTOR)]
)
def test_a_step_costs_what_torch_counts_but_for_attention_that_is_computed_again(
    of_encoder, of_predictor
):
    encoder, predictor = of_encoder.build(), of_predictor.build(of_encoder)
    clips = torch.randint(0, 256, (1, 4, 32, 32, 3), dtype=torch.uint8)
    masks = Masks(
        context_index=torch.arange(6)[None], target_index=torch.arange(10, 30)[None, None]
    )

    def step():
        with torch.no_grad():
            encoder(clips)
        contexts = encoder(clips, [TokenSet(masks.context_index)])
        (predicted,) = predictor(contexts, [masks], encoder.token_grid(clips), [0])
        predicted.sum().backward()

    # a fused kernel's backward has five products, the math kernel's four, which MFU counts
    counted = model_flops(of_encoder, of_predictor, tokens=32, masks=[MaskTokens(6, 20)])
    assert measured(step) == pytest.approx(counted, rel=1e-9)


# Token shares of the released masks at 24 clips per GPU, as measured on the released code.
VJEPA2_MASKS = [
    MaskTokens(round(2048 * 0.253), round(2048 * 0.455)),
    MaskTokens(round(2048 * 0.064), round(2048 * 0.699)),
]


@pytest.mark.parametrize(
    ("size", "checkpointing", "tflop"),
    [
        ("vit_large", "none", 3.64),
        ("vit_large", "full", 4.27),
        ("vit_huge", "none", 6.59),
        ("vit_huge", "full", 7.67),
        ("vit_giant", "none", 9.94),
        ("vit_giant", "full", 11.52),
    ],
)
def test_a_vjepa2_step_costs_what_a_count_of_the_released_step_says(size, checkpointing, tflop):
    cost = clip_cost(
        EncoderConfig(size=size),
        VJEPA2_PREDICTOR,
        tokens=2048,
        masks=VJEPA2_MASKS,
        checkpointing=checkpointing,
    )
    # the released step embeds all tokens for each mask group and drops most: up to 1 % more
    assert cost.total.total / 1e12 == pytest.approx(tflop, rel=0.01)


def test_the_parts_of_a_vitl_step_have_the_known_shares():
    cost = clip_cost(
        EncoderConfig(size="vit_large"),
        VJEPA2_PREDICTOR,
        tokens=2048,
        masks=VJEPA2_MASKS,
        checkpointing="none",
    )
    total = cost.total.total
    parts = [part.total / total for part in (cost.target_forward, cost.context, cost.predictor)]
    assert parts == pytest.approx([0.45, 0.35, 0.19], abs=0.01)
    assert cost.total.attention / total == pytest.approx(0.22, abs=0.01)


def test_selective_checkpointing_repeats_no_product():
    none, selective = (
        clip_cost(ENCODER, PREDICTOR, tokens=32, masks=[MaskTokens(6, 20)], checkpointing=policy)
        for policy in ("none", "selective")
    )
    assert none == selective


def test_flops_add_and_scale_by_kind():
    assert Flops(1.0, 2.0).plus(Flops(3.0, 4.0)).times(2) == Flops(8.0, 12.0)
    assert Flops(1.0, 2.0).total == 3.0

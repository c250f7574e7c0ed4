"""What is counted of a method is what is built, and what torch counts."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from worldmodel_train.facts import ClipShape, DataFacts, RecipeFacts, SourceFacts
from worldmodel_train.jepa import (
    autoencoder,
    dino,
    image_world_model,
    mae,
    mocov3,
    seq_jepa,
    simclr,
    vicreg,
)
from worldmodel_train.masks import RandomTokens, RandomTubes
from worldmodel_train.models.views.saccades import Saccades
from worldmodel_train.models.views.views import View, ViewConfig
from worldmodel_train.types import Clips

CLIP = ClipShape(4, 16, 24)
PIXELS = torch.randint(256, (3, *CLIP, 3), dtype=torch.uint8)
MASKS = {"masks": (RandomTokens(hidden=0.75), RandomTubes(hidden=0.5))}
"""As many tokens in every draw."""
CONFIGS = {
    "mae": mae.Config.tiny().model_copy(update=MASKS),
    "image_world_model": image_world_model.Config.tiny().model_copy(update=MASKS),
    "seq_jepa": seq_jepa.Config.tiny(),
    "seq_jepa by saccades": seq_jepa.Config.tiny().model_copy(
        update={"view": Saccades(name="saccades", size=8)}
    ),
    "autoencoder": autoencoder.Config.tiny(),
    "simclr": simclr.Config.tiny(),
    "vicreg": vicreg.Config.tiny(),
    "mocov3": mocov3.Config.tiny(),
    "mocov3 with patches": mocov3.Config.tiny().model_copy(update={"train_patches": True}),
    "dino": dino.Config.tiny().model_copy(update={"num_local_views": 3}),
}


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS.keys())
def config(request):
    return request.param


@pytest.fixture
def facts():
    source = SourceFacts(key=("data", "sources", 0), clip=CLIP, share=1.0)
    data = DataFacts(sources=(source,))
    return RecipeFacts(data=data, micro_batch=3, seed=0, activation_checkpointing="none")


def test_parameters_are_those_that_are_built(config, facts):
    built = config.build().parameters()
    assert sum(config.cost(facts).parameters.values()) == sum(p.numel() for p in built)


def test_a_step_costs_what_torch_counts_but_for_the_loss(config, facts, monkeypatch):
    def drawn(view, clips):
        size = view.size or max(clips.shape[2:4])
        return View(pixels=clips[:, :, :size, :size], change=torch.zeros(len(clips), 13))

    def apart(one, other=None, **_):
        return (one if other is None else one * other).sum()

    monkeypatch.setattr(ViewConfig, "draw", drawn)
    monkeypatch.setattr(simclr, "nt_xent", apart)
    monkeypatch.setattr(mocov3, "info_nce", apart)
    monkeypatch.setattr(vicreg, "covariance_loss", apart)
    monkeypatch.setattr(image_world_model, "change_look", lambda clips, _: clips)
    objective, content = config.build(), Clips(pixels=PIXELS, samples=(0, 1, 2))
    if hasattr(config, "masks"):
        content = config.preparation()([content], seed=0, step=0)
    # plain products, which the counter knows in both directions
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        objective.training_losses(content).total.backward()
    counted = len(PIXELS) * config.cost(facts).model_flops
    # a mean of equal draws is rounded
    assert counter.get_total_flops() == pytest.approx(counted, rel=1e-9)

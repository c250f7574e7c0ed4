"""What is counted of a method is what is built, and what torch counts."""

import numpy as np
import pytest
import torch

from tests.jepa.counted import flops_of_a_step
from worldmodel_train.facts import ClipShape, DataFacts, RecipeFacts, SourceFacts
from worldmodel_train.jepa import (
    autoencoder,
    dino,
    dseq_jepa,
    hierarchical_jepa,
    image_world_model,
    mae,
    mc_jepa,
    mocov3,
    motion_terms,
    seq_jepa,
    simclr,
    variational_jepa,
    vicreg,
    vjepa21,
)
from worldmodel_train.masks import RandomTokens, RandomTubes
from worldmodel_train.models.flow.estimator import FlowConfig
from worldmodel_train.models.multilevel_vit import MultilevelVisionTransformer
from worldmodel_train.models.slot_encoder import SlotEncoderConfig
from worldmodel_train.models.views.saccades import Saccades
from worldmodel_train.models.views.views import View, ViewConfig
from worldmodel_train.renderers import slot_autoencoder
from worldmodel_train.types import Clips

CLIP = ClipShape(4, 16, 24)
PIXELS = torch.randint(256, (3, *CLIP, 3), dtype=torch.uint8)
MASKS = {"masks": (RandomTokens(hidden=0.75), RandomTubes(hidden=0.5))}
"""As many tokens in every draw."""
LEFT_OUT = {
    # what a place adds to features is the same in all frames of a batch
    "slot_autoencoder": 1e-3,
    "slot_autoencoder of two convolutions": 1e-3,
    # of each token a product with one vector says how salient it is
    "dseq_jepa by regions": 1e-3,
}
"""How much more torch may count, relatively, where a cost leaves out a little."""


def in_share(regions):
    """A curriculum in which this share of all steps is of regions."""
    curriculum = dseq_jepa.CurriculumConfig(until_step=0, start=regions, end=regions)
    return {"curriculum": curriculum, "regions": dseq_jepa.RegionConfig(layer=1, most=3)}


CONFIGS = {
    "mae": mae.Config.tiny().model_copy(update=MASKS),
    "image_world_model": image_world_model.Config.tiny().model_copy(update=MASKS),
    "seq_jepa": seq_jepa.Config.tiny(),
    "seq_jepa by saccades": seq_jepa.Config.tiny().model_copy(
        update={"view": Saccades(name="saccades", size=8)}
    ),
    "vjepa21": vjepa21.Config.tiny().model_copy(update=MASKS),
    "vjepa21 of images": vjepa21.Config.tiny().model_copy(update={"image_masks": MASKS["masks"]}),
    "variational_jepa": variational_jepa.Config.tiny().model_copy(update=MASKS),
    "dseq_jepa by masks": dseq_jepa.Config.tiny().model_copy(update=MASKS | in_share(0.0)),
    "dseq_jepa by regions": dseq_jepa.Config.tiny().model_copy(update=MASKS | in_share(1.0)),
    "hierarchical_jepa": hierarchical_jepa.Config.tiny(),
    "hierarchical_jepa with a stopped gradient": hierarchical_jepa.Config.tiny().model_copy(
        update={"gradient": "stopped"}
    ),
    "slot_autoencoder": slot_autoencoder.Config.tiny(),
    "slot_autoencoder of two convolutions": slot_autoencoder.Config.tiny().model_copy(
        update={
            "encoder": SlotEncoderConfig(slots=3, width=32, channels=(8, 16), stride=3, heads=2)
        }
    ),
    "mc_jepa": mc_jepa.Config.tiny(),
    "mc_jepa of smaller views and no flow of pixels": mc_jepa.Config.tiny().model_copy(
        update={
            "views": (ViewConfig(size=16), ViewConfig(size=8)),
            "estimator": FlowConfig(width=8, depth=2, reach=2, finest=1),
        }
    ),
    "autoencoder": autoencoder.Config.tiny(),
    "simclr": simclr.Config.tiny(),
    "vicreg": vicreg.Config.tiny(),
    "mocov3": mocov3.Config.tiny(),
    "mocov3 with patches": mocov3.Config.tiny().model_copy(update={"train_patches": True}),
    "dino": dino.Config.tiny().model_copy(update={"num_local_views": 3}),
}


@pytest.fixture(params=CONFIGS)
def name(request):
    return request.param


@pytest.fixture
def config(name):
    return CONFIGS[name]


@pytest.fixture
def clip(name):
    return CLIP._replace(frames=1) if "images" in name else CLIP


@pytest.fixture
def facts(clip):
    source = SourceFacts(key=("data", "sources", 0), clip=clip, share=1.0)
    data = DataFacts(sources=(source,))
    return RecipeFacts(data=data, micro_batch=3, seed=0, steps=64, activation_checkpointing="none")


@pytest.fixture
def simple(monkeypatch):
    """Views, losses and what hangs on them as no cost counts them."""

    def drawn(view, clips):
        size = view.size or max(clips.shape[2:4])
        return View(pixels=clips[:, :, :size, :size], change=torch.zeros(len(clips), 13))

    def apart(one, other=None, **_):
        return (one if other is None else one * other).sum()

    def equal_regions(saliency, _grid, *, most, **_):
        return [np.arange(len(saliency)) * most // len(saliency) == part for part in range(most)]

    monkeypatch.setattr(ViewConfig, "draw", drawn)
    monkeypatch.setattr(simclr, "nt_xent", apart)
    monkeypatch.setattr(mocov3, "info_nce", apart)
    for method in (vicreg, hierarchical_jepa, mc_jepa, motion_terms):
        monkeypatch.setattr(method, "covariance_loss", apart)
    monkeypatch.setattr(image_world_model, "change_look", lambda clips, _: clips)
    monkeypatch.setattr(dseq_jepa, "salient_regions", equal_regions)
    # a token of the other kind, which a micro-batch embeds once
    monkeypatch.setattr(MultilevelVisionTransformer, "_idle", lambda _, clips: torch.zeros(()))


def test_parameters_are_those_that_are_built(config, facts):
    built = config.build().parameters()
    assert sum(config.cost(facts).parameters.values()) == sum(p.numel() for p in built)


@pytest.mark.usefixtures("simple")
def test_a_step_costs_what_torch_counts_but_for_the_loss(name, config, clip, facts):
    pixels = PIXELS[:, : clip.frames].contiguous()
    objective, content = config.build(), Clips(pixels=pixels, samples=(0, 1, 2))
    if hasattr(config, "masks"):
        content = config.preparation()([content], seed=0, step=0)
    counted = len(pixels) * config.cost(facts).model_flops
    seen = flops_of_a_step(objective, content)
    # a mean of equal draws is rounded
    assert seen == pytest.approx(counted, rel=LEFT_OUT.get(name, 1e-9))
    assert seen >= (1 - 1e-9) * counted


@pytest.mark.parametrize("name", ["dseq_jepa by masks"])
def test_regions_weigh_as_much_as_the_share_of_steps_that_are_of_them(facts):
    def flops(share):
        update = MASKS | in_share(share)
        return dseq_jepa.Config.tiny().model_copy(update=update).cost(facts).model_flops

    assert flops(0.25) == pytest.approx(0.75 * flops(0.0) + 0.25 * flops(1.0))

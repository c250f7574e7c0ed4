"""What is counted of methods that learn from episodes and sound is what torch counts."""

from dataclasses import replace

import pytest
import torch

from tests.contracts.methods import METHODS, audio, build, trajectories
from tests.jepa.counted import flops_of_a_step
from worldmodel_train.facts import (
    AudioFacts,
    ClipShape,
    DataFacts,
    EpisodeFacts,
    PartShapes,
    RecipeFacts,
    SourceFacts,
)
from worldmodel_train.jepa import pldm
from worldmodel_train.losses.sigreg import SigReg
from worldmodel_train.masks import RandomTokens
from worldmodel_train.models.frozen import FrozenPart
from worldmodel_train.types import Clips

CONFIGS = {
    "pldm": METHODS["jepa/pldm"],
    "leworldmodel": METHODS["jepa/leworldmodel"],
    "leworldmodel on an encoder that stays as drawn": METHODS["jepa/leworldmodel"].model_copy(
        update={"train_encoder": False}
    ),
    "dino_wm": METHODS["jepa/dino_wm"],
    "vjepa2_ac": METHODS["jepa/vjepa2_ac"],
    "causal_jepa": METHODS["jepa/causal_jepa"],
    "causal_jepa without a robot": METHODS["jepa/causal_jepa"].model_copy(
        update={"actions": 0, "states": 0, "horizon": 2}
    ),
    "vjepa2_ac rolled out once more": METHODS["jepa/vjepa2_ac"].model_copy(update={"rollout": 3}),
}

ORIGIN = "encoder of runs/other"


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS.keys())
def config(request):
    return request.param


def content_of(config):
    if getattr(config, "takes", None) == "trajectories":
        return trajectories(config)
    pixels = torch.randint(256, (6, config.frames, 16, 24, 3), dtype=torch.uint8)
    return Clips(pixels=pixels, samples=tuple(range(6)))


def frozen_part(config):
    """A tiny one of the method that the configuration names."""
    sees_slots = "slot_autoencoder" in str(config.encoder.checkpoint)
    if sees_slots:
        return METHODS["renderers/slot_autoencoder"].build().encoder
    return METHODS["jepa/vjepa"].build().target_encoder


def unopened(kind):
    data = DataFacts(sources=(), kind=kind)
    return RecipeFacts(data=data, micro_batch=6, seed=0, steps=64, activation_checkpointing="none")


def opened(config):
    """Facts of what the method is given here, and of the run that it takes a frozen part of."""
    content, facts = content_of(config), unopened("clips")
    if isinstance(content, Clips):
        clip = ClipShape(*content.pixels.shape[1:4])
        source = SourceFacts(key=("data", "sources", 0), clip=clip, share=1.0)
        data = DataFacts(sources=(source,))
    else:
        data = DataFacts(sources=(), kind="trajectories", episodes=episodes_of(content))
    return replace(facts, data=data, frozen=lambda _: PartShapes(frozen_part(config), ORIGIN))


def episodes_of(content):
    return EpisodeFacts(
        steps=content.observations.shape[1],
        observation=tuple(content.observations.shape[2:]),
        action_width=content.actions.shape[2],
        discrete_actions=False,
        state_width=None if content.states is None else content.states.shape[2],
    )


def test_a_step_costs_what_torch_counts_but_for_the_loss(config, monkeypatch):
    monkeypatch.setattr(SigReg, "loss", lambda _, latents: latents.sum())
    monkeypatch.setattr(pldm, "covariance_loss", torch.sum)
    objective, content = build(config), content_of(config)
    counted = 6 * config.cost(opened(config)).model_flops
    seen = flops_of_a_step(objective, content)
    # what a place adds to the features of slots is the same in all frames of a batch; else rounded
    assert seen == pytest.approx(counted, rel=2e-3 if hasattr(objective, "slots") else 1e-9)
    assert seen >= (1 - 1e-9) * counted


def test_parameters_are_those_that_are_trained_and_built(config):
    built = build(config).parameters()
    cost = config.cost(opened(config))
    assert sum(cost.parameters.values()) == sum(p.numel() for p in built)


@pytest.mark.parametrize("config", [one for one in CONFIGS.values() if one.takes == "trajectories"])
def test_nothing_is_said_of_episodes_that_nobody_has_opened(config):
    assert config.cost(replace(opened(config), data=unopened("trajectories").data)) is None


@pytest.mark.parametrize("name", ["dino_wm", "vjepa2_ac", "causal_jepa without a robot"])
def test_nothing_is_said_before_the_run_of_a_frozen_part_is_looked_at(name):
    config = CONFIGS[name]
    assert config.cost(replace(opened(config), frozen=None)) is None


def refusals(config, facts):
    """What is said where a step is counted, and where the method is built of the same."""
    held = {}
    if hasattr(config.encoder, "checkpoint"):
        network, origin = facts.frozen("encoder")
        held["encoder"] = FrozenPart(network, origin=origin)
    with pytest.raises(ValueError) as counted:  # noqa: PT011  # compared below
        config.cost(facts)
    with pytest.raises(ValueError) as built:  # noqa: PT011
        config.build(facts.data, **held)
    return str(counted.value), str(built.value)


NO_PATCHES, VECTORS = {"observation": (17, 17, 3)}, {"observation": (4,)}


@pytest.mark.parametrize(
    ("name", "other", "message"),
    [
        (name, NO_PATCHES, f"17 is not a multiple of {key}=8; use 16 or 24")
        for name, key in {
            "leworldmodel": "method.encoder.patch",
            "pldm": "method.encoder.patch",
            "dino_wm": f"{ORIGIN}: encoder.patch",
            "vjepa2_ac": f"{ORIGIN}: encoder.patch",
        }.items()
    ]
    + [
        (name, VECTORS, "observations of shape (4,)")
        for name in ("leworldmodel", "pldm", "dino_wm", "vjepa2_ac", "causal_jepa")
    ]
    + [("pldm", {"steps": 2}, "data.steps=2"), ("causal_jepa", {"steps": 2}, "data.steps=2")],
)
def test_episodes_that_do_not_suit_are_refused_as_the_build_does(name, other, message):
    config = CONFIGS[name]
    facts = opened(config)
    episodes = replace(facts.data.episodes, **other)
    counted, built = refusals(config, replace(facts, data=replace(facts.data, episodes=episodes)))
    assert counted == built
    assert message in counted


@pytest.mark.parametrize("name", ["dino_wm", "vjepa2_ac", "causal_jepa"])
def test_a_frozen_part_of_another_kind_is_refused_as_the_build_does(name):
    config = CONFIGS[name]
    other = PartShapes(torch.nn.Linear(2, 2), "head of runs/other")
    counted, built = refusals(config, replace(opened(config), frozen=lambda _: other))
    assert counted == built
    assert "method.encoder: head of runs/other is a Linear" in counted


def test_a_robot_that_only_feels_itself_is_seen_too():
    config = CONFIGS["causal_jepa"].model_copy(update={"actions": 0})
    facts = opened(CONFIGS["causal_jepa"])
    episodes = replace(facts.data.episodes, **VECTORS)
    counted, built = refusals(config, replace(facts, data=replace(facts.data, episodes=episodes)))
    assert counted == built
    assert "learns from pictures" in counted


@pytest.fixture
def hearing():
    masks = (RandomTokens(hidden=0.75), RandomTokens(hidden=0.5))
    predictor = METHODS["jepa/audio_jepa"].predictor.model_copy(update={"mask_tokens": 2})
    update = {"masks": masks, "predictor": predictor}
    return METHODS["jepa/audio_jepa"].model_copy(update=update)


def sound_of(content, config):
    facts = unopened("audio")
    heard = AudioFacts(rate=config.spectrogram.rate, samples=content.waveform.shape[1])
    return replace(facts, data=replace(facts.data, audio=heard), micro_batch=len(content.waveform))


def test_sound_costs_what_torch_counts(hearing):
    read = audio(hearing)
    cost = hearing.cost(sound_of(read, hearing))
    objective, content = hearing.build(), hearing.preparation()([read], seed=0, step=0)
    assert sum(cost.parameters.values()) == sum(p.numel() for p in objective.parameters())
    counted = len(read.waveform) * cost.model_flops
    # a mean of equal draws is rounded
    assert flops_of_a_step(objective, content) == pytest.approx(counted, rel=1e-9)


def test_masks_of_sound_are_those_of_the_whole_run():
    config = METHODS["jepa/audio_jepa"]  # whose masks change over the first four steps
    facts = sound_of(audio(config), config)
    short, long = (config.cost(replace(facts, steps=steps)) for steps in (1, 3200))
    assert short.model_flops != long.model_flops

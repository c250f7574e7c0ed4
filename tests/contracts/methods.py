"""Every method that a recipe can name, tiny, and something for each to learn from."""

import inspect
from pathlib import Path

import torch

from worldmodel_train.cartography.activations import BatchTopK, JumpRelu
from worldmodel_train.config.components import component_configs
from worldmodel_train.facts import ClipShape, DataFacts, EpisodeFacts, SourceFacts
from worldmodel_train.jepa.dseq_jepa import CurriculumConfig
from worldmodel_train.losses.dense import ContextLoss
from worldmodel_train.models.frozen import FrozenPart, PartConfig
from worldmodel_train.models.sincos import SinCos2d, SinCos3d
from worldmodel_train.models.views.colours import Jitter
from worldmodel_train.recipe import FAMILIES
from worldmodel_train.types import (
    Audio,
    ClipGroup,
    Clips,
    Latents,
    MaskedAudio,
    MaskedClips,
    Masks,
    Trajectories,
)

# A probe needs labels as well as another run; what it needs is in its own tests.
METHODS = {
    name: config.tiny()
    for family in FAMILIES
    for name, config in component_configs(family).items()
    if hasattr(config, "tiny")
}
# V-JEPA 1 lives in the file of V-JEPA 2.
V_JEPA_1 = {
    "encoder": METHODS["jepa/vjepa"].encoder.model_copy(update={"position": SinCos3d()}),
    "residual_init": "plain",
}
# As DINOv2 has its targets; the student's prototypes rest at first.
DINO_V2 = {"resting_steps": 2, "balancing_passes": 3}
# Which features are kept changes what is learned, and how.
ACTIVATIONS = {
    activation.name: METHODS["cartography/sparse_autoencoder"].model_copy(
        update={"activation": activation}
    )
    for activation in (BatchTopK(), JumpRelu(bandwidth=0.05))
}
VARIANTS = {
    "vjepa_1": METHODS["jepa/vjepa"].model_copy(update=V_JEPA_1),
    "dino_balanced": METHODS["jepa/dino"].model_copy(update=DINO_V2),
}
CONFIGS = METHODS | VARIANTS | ACTIVATIONS
# Who predicts latents of clips under masks; others paint what is hidden. Of visible tokens nothing
# is evaluated: what V-JEPA 2.1 adds to its loss for them has tests of its own.
HIDDEN_ALONE = {"context": ContextLoss(weight=0.0)}
# Regions are found in what is seen, and have tests of their own.
NO_REGIONS = {"curriculum": CurriculumConfig(until_step=0, end=0.0)}
# Changes of looks are drawn for the whole batch, and have tests of their own too.
STILL = Jitter(probability=0.0, grey=0.0, blur=0.0, solarize=0.0)
SEEN_AS_THEY_ARE = {"seen_look": STILL, "target_look": STILL}
MASKED = {
    name: config.model_copy(
        update={
            key: value
            for key, value in (HIDDEN_ALONE | SEEN_AS_THEY_ARE | NO_REGIONS).items()
            if hasattr(config, key)
        }
    )
    for name, config in CONFIGS.items()
    if hasattr(config, "predictor")
    and hasattr(config, "masks")
    and getattr(config, "takes", "clips") == "clips"
}
# What the episodes are like whose pictures are painted.
EPISODES = EpisodeFacts(
    steps=2, observation=(16, 16, 3), action_width=2, discrete_actions=False, state_width=None
)
SETS = 2  # target sets of each mask group


def build(config):
    """The objective; parts of other runs are of a tiny one, always with the same weights."""
    held = {name: value for name, value in config if isinstance(value, PartConfig)}
    if not held:
        return config.build()
    clip = SourceFacts(key=("data", "sources", 0), clip=ClipShape(4, 16, 24), share=1.0)
    seen = EPISODES if "world_model" in held else None
    return config.build(
        DataFacts(sources=(clip,), episodes=seen),
        **{name: _of_another(part) for name, part in held.items()},
    )


def _of_another(part):
    """Of a tiny V-JEPA, or of the tiny method that is named."""
    other = ("renderers/slot_autoencoder", "jepa/leworldmodel")
    named = (name for name in other if Path(name).name in str(part.checkpoint))
    name = next(named, "jepa/vjepa")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        other = METHODS[name].build()
    return FrozenPart(other.get_submodule(part.module), origin=f"{part.part} of a tiny {name}")


def content_for(config, objective, seed=0):
    """Something that the method can learn from."""
    taken = inspect.signature(objective.training_losses).parameters["content"].annotation
    assert taken in CONTENTS, f"say in tests/contracts/methods.py how a {taken} is made"
    return CONTENTS[taken](config, seed)


def clips(_config, seed=0):
    """Random clips as they are read."""
    generator = torch.Generator().manual_seed(10 + seed)
    pixels = torch.randint(0, 256, (3, 4, 16, 24, 3), dtype=torch.uint8, generator=generator)
    return Clips(pixels=pixels, samples=(0, 1, 2))


def masked_clips(config, seed=0):
    """Two clip lengths, or two image sizes where a clip is an image; images too, if it has both."""
    groups = (masked_group(config, 2, 1, seed), masked_group(config, 3, 2, seed))
    if hasattr(config, "image_masks"):
        groups += (images_among_clips(config, groups[0]),)
    return MaskedClips(groups=groups)


def images_among_clips(config, clips):
    """The first frames of a group, masked anew."""
    frames = clips.clips[:, :1].contiguous()
    num_tokens = frames[0, 0, :, :, 0].numel() // config.encoder.patch**2
    generator = torch.Generator().manual_seed(5)
    return ClipGroup(clips=frames, masks=(_masks(len(frames), num_tokens, generator),))


def trajectories(config, seed=0):
    """Random pictures and actions; for methods that act, random vectors and rewards too."""
    generator = torch.Generator().manual_seed(10 + seed)
    if getattr(config, "acts", False):
        return Trajectories(
            observations=torch.randn(6, 4, config.observations, generator=generator),
            actions=torch.rand(6, 3, config.actions, generator=generator) * 2 - 1,
            rewards=torch.randn(6, 3, generator=generator),
            ends=torch.rand(6, 3, generator=generator) > 0.8,
        )
    if hasattr(config, "world_model"):
        steps, action_width = EPISODES.steps - 1, EPISODES.action_width
    else:
        steps = config.history if hasattr(config, "history") else config.rollout
        action_width = config.actions
    observations = torch.randint(
        0, 256, (6, steps + 1, 16, 16, 3), dtype=torch.uint8, generator=generator
    )
    actions = torch.randn(6, steps, action_width, generator=generator)
    states = None
    if hasattr(config, "states"):
        states = torch.randn(6, steps + 1, config.states, generator=generator)
    return Trajectories(observations=observations, actions=actions, states=states)


def latents(config, seed=0):
    """Sums of a few directions, out of more than there are channels."""
    generator = torch.Generator().manual_seed(10 + seed)
    directions = torch.randn(2 * config.width, config.width, generator=generator)
    weights = torch.rand(6, 20, 2 * config.width, generator=generator)
    return Latents(tokens=(weights * (weights > 0.9)) @ directions)


def audio(config, seed=0):
    """Random sound, as it is read; the last recording is shorter than the others."""
    generator = torch.Generator().manual_seed(10 + seed)
    spectrogram, patch = config.spectrogram, config.encoder.patch
    waveform = torch.randn(3, 8 * patch * spectrogram.hop, generator=generator) / 10
    heard = torch.tensor([waveform.shape[1], waveform.shape[1], waveform.shape[1] - 50])
    waveform[2, heard[2] :] = 0
    return Audio(waveform=waveform, heard=heard, samples=(0, 1, 2))


def masked_audio(config, seed=0):
    """The same with masks as training would draw them at its beginning."""
    return config.preparation()([audio(config, seed)], seed=0, step=0)


CONTENTS = {
    Clips: clips,
    Clips | Trajectories: trajectories,
    Latents: latents,
    MaskedAudio: masked_audio,
    MaskedClips: masked_clips,
    Trajectories: trajectories,
}


def losses_of(objective, content):
    """The losses; what is drawn at random is the same each time, as in training at one step."""
    torch.manual_seed(0)
    return objective.training_losses(content)


def train(objective, content, *, steps):
    """The losses before the first and after the last step."""
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=3e-3)
    totals = []
    for _ in range(steps):
        totals.append(losses_of(objective, content).total)
        optimizer.zero_grad()
        totals[-1].backward()
        optimizer.step()
    totals.append(losses_of(objective, content).total)
    return totals[0].item(), totals[-1].item()


def masked_group(config, num_clips, length, seed=0):
    """Random clips, `length` times as long (images: as high), with random masks."""
    generator = torch.Generator().manual_seed(10 * length + seed)
    encoder = config.encoder
    is_image = isinstance(encoder.position, SinCos2d)
    frames, rows = (1, 4 * length) if is_image else (2 * length, 4)
    shape = (num_clips, frames * encoder.tubelet, rows * encoder.patch, 4 * encoder.patch, 3)
    clips = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    num_tokens = frames * rows * 4
    masks = tuple(_masks(num_clips, num_tokens, generator) for _ in config.masks)
    return ClipGroup(clips=clips, masks=masks)


def _masks(num_clips, num_tokens, generator):
    order = torch.stack([torch.randperm(num_tokens, generator=generator) for _ in range(num_clips)])
    num_context = num_tokens // 2
    targets = order[:, num_context:].unflatten(1, (SETS, -1))
    return Masks(context_index=order[:, :num_context], target_index=targets)

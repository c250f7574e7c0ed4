from dataclasses import replace

import pytest
import torch

from worldmodel_train.facts import ClipShape, DataFacts, RecipeFacts, SourceFacts
from worldmodel_train.jepa.vjepa21 import Config
from worldmodel_train.losses.dense import ContextLoss, distances_to_targets
from worldmodel_train.masks import Multiblock3D
from worldmodel_train.models.multilevel_vit import level_depths
from worldmodel_train.types import ClipGroup, Clips, MaskedClips, Masks

WIDTH = 48


@pytest.fixture
def objective():
    torch.manual_seed(0)
    return Config.tiny().build()


def clips(frames, number=3, seed=1):
    generator = torch.Generator().manual_seed(seed)
    shape = (number, frames, 32, 32, 3)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return Clips(pixels=pixels, samples=tuple(range(number)))


def prepared(*read):
    return Config.tiny().preparation()(read, seed=0, step=0)


@pytest.mark.parametrize(
    ("depth", "blocks"),
    [
        (12, (2, 5, 8, 11)), (24, (5, 11, 17, 23)), (40, (9, 19, 29, 39)),
        (48, (11, 23, 37, 47)), (4, (0, 1, 2, 3)), (8, (1, 3, 5, 7)),
    ],
)  # fmt: skip
def test_levels_are_read_after_the_released_blocks(depth, blocks):
    assert level_depths(depth) == tuple(block + 1 for block in blocks)


def test_fewer_blocks_than_levels_are_refused():
    with pytest.raises(ValueError, match="use 4 blocks or more"):
        Config.tiny().encoder.model_validate({"size": {"width": 48, "depth": 3, "heads": 3}})


def test_a_level_is_what_an_encoder_that_ends_there_gives(objective):
    encoder, pixels = objective.context_encoder, clips(4).pixels
    with torch.no_grad():
        (levels,) = encoder(pixels, levels="all")
        (stream,) = encoder(pixels, layer=2)
        expected = encoder.level_norms[1](stream.flatten(0, 1)).view_as(stream)
    torch.testing.assert_close(levels[..., WIDTH : 2 * WIDTH], expected)


def test_each_level_of_the_targets_is_normalised_by_itself(objective):
    with torch.no_grad():
        for parameter in objective.target_encoder.level_norms.parameters():
            parameter.normal_(std=3.0)
    seen = objective._see(clips(4).pixels).unflatten(-1, (4, WIDTH))
    torch.testing.assert_close(seen.mean(dim=-1), torch.zeros(seen.shape[:-1]), rtol=0, atol=1e-5)
    spread = seen.var(dim=-1, unbiased=False)
    torch.testing.assert_close(spread, torch.ones_like(spread), rtol=1e-3, atol=0)


def test_what_others_see_is_the_last_level(objective):
    (group,) = prepared(clips(4)).groups
    pixels, masks = group.clips, group.masks[0]
    seen = objective._see(pixels)
    torch.testing.assert_close(objective.encode(pixels), seen[..., -WIDTH:])
    with torch.no_grad():
        pair = objective.predict(group)[0]
        said, _ = objective._say(objective.encode_context(group), group)
    assert pair.predicted.shape == (*masks.target_index.shape, WIDTH)
    torch.testing.assert_close(pair.predicted, said[0][..., -WIDTH:])


def by_hand(objective, group):
    """Both losses of a group, token by token."""
    seen = objective._see(group.clips)
    said = objective._say(objective.encode_context(group), group)
    hidden, visible = [], []
    for target, context, masks in zip(*said, group.masks, strict=True):
        distance = distances_to_targets(masks.target_index, objective.token_grid(group.clips))
        of_hidden, of_visible = [], []
        for clip in range(len(group.clips)):
            for place, token in enumerate(masks.target_index[clip, 0]):
                error = (target[clip, 0, place] - seen[clip, token]).abs().mean()
                of_hidden.append(error)
            for place, token in enumerate(masks.context_index[clip]):
                error = (context[clip, 0, place] - seen[clip, token]).abs().mean()
                of_visible.append(error / distance[clip, 0, token].sqrt())
        hidden.append(torch.stack(of_hidden).mean())
        visible.append(torch.stack(of_visible).mean())
    return torch.stack(hidden).mean(), torch.stack(visible).mean()


def test_the_loss_is_that_of_hidden_tokens_and_a_share_of_that_of_visible_ones(objective):
    content = prepared(clips(4), clips(1))
    each = [by_hand(objective, group) for group in content.groups]
    hidden, visible = (torch.stack(part).mean() for part in zip(*each, strict=True))
    losses = objective.training_losses(content)
    assert [len(group.masks) for group in content.groups] == [2, 1]
    torch.testing.assert_close(losses.total, hidden + 0.5 * visible)
    torch.testing.assert_close(losses.terms["hidden"], hidden.detach())
    torch.testing.assert_close(losses.terms["visible"], visible.detach())


def test_the_step_sets_the_weight_of_visible_tokens(objective):
    content = prepared(clips(4))
    terms = objective.training_losses(content).terms
    for step, weight in ((0, 0.0), (22_500, 0.25), (40_000, 0.5)):
        objective.begin_step(step)
        total = objective.training_losses(content).total
        torch.testing.assert_close(total, terms["hidden"] + weight * terms["visible"])


def test_context_that_is_padding_does_not_count(objective):
    (group,) = prepared(clips(4)).groups
    masks = group.masks[0]
    count = masks.context_index.shape[1]
    padded = replace(masks, context_valid=(torch.arange(count) < count - 2).expand(3, -1))
    short = replace(masks, context_index=masks.context_index[:, :-2])
    totals = [
        objective.training_losses(
            MaskedClips(groups=(ClipGroup(clips=group.clips, masks=(one,)),))
        ).total
        for one in (padded, short)
    ]
    torch.testing.assert_close(*totals)


def test_an_image_is_a_clip_of_one_frame_with_masks_and_tubelets_of_its_own(objective):
    images, both = prepared(clips(1)), prepared(clips(4), clips(1))
    assert objective.token_grid(images.groups[0].clips) == (1, 4, 4)
    assert objective.token_grid(both.groups[0].clips) == (2, 4, 4)
    assert torch.equal(images.groups[0].masks[0].target_index, both.groups[1].masks[0].target_index)
    with torch.no_grad():
        before = objective.encode(images.groups[0].clips)
        objective.target_encoder.patch_embed.proj.weight.zero_()
        assert torch.equal(objective.encode(images.groups[0].clips), before)
        objective.target_encoder.image_embed.proj.weight.zero_()
        assert not torch.equal(objective.encode(images.groups[0].clips), before)


@pytest.mark.parametrize(
    ("frames", "idle", "busy"),
    [(4, "image_embed", "patch_embed"), (1, "patch_embed", "image_embed")],
)
def test_the_tokenizer_that_a_batch_has_no_use_for_gets_a_gradient_of_zero(
    objective, frames, idle, busy
):
    """None there would keep ranks that hold no image waiting for those that do."""
    objective.training_losses(prepared(clips(frames))).total.backward()
    encoder = objective.context_encoder
    assert all(not p.grad.any() for p in encoder.get_submodule(idle).parameters())
    assert all(p.grad.any() for p in encoder.get_submodule(busy).parameters())
    assert all(p.grad is not None for p in objective.parameters() if p.requires_grad)


def test_the_modality_is_told_to_both_networks(objective):
    (group,) = prepared(clips(1)).groups
    with torch.no_grad():
        before = objective.predict(group)[0].predicted
        for network in (objective.context_encoder, objective.predictor):
            kept = network.modality.clone()
            network.modality[1] += 1.0
            assert torch.equal(objective.predict(group)[0].predicted, before)
            network.modality[0] += 1.0
            assert not torch.allclose(objective.predict(group)[0].predicted, before)
            network.modality.copy_(kept)


def facts(*shapes):
    sources = tuple(
        SourceFacts(key=("data", "sources", i), clip=ClipShape(*shape), share=1 / len(shapes))
        for i, shape in enumerate(shapes)
    )
    return RecipeFacts(
        data=DataFacts(sources=sources),
        seed=0,
        steps=10,
        micro_batch=4,
        activation_checkpointing="none",
    )


def test_images_may_lie_among_clips_and_odd_clips_may_not():
    config = Config.tiny()
    assert list(config.misfits(facts((4, 32, 32), (1, 32, 32)))) == []
    assert list(config.misfits(facts((1, 32, 32)))) == []
    (frames,) = config.misfits(facts((1, 32, 32), (3, 32, 32)))
    assert frames[0] == ("data", "sources", 1, "clip", "frames")
    (size,) = config.misfits(facts((4, 30, 30), (1, 30, 30)))
    assert size[0] == ("data", "augment", "size")


def test_masks_that_leave_nothing_of_an_image_are_said_to_be_its_own():
    everything = Multiblock3D(num_blocks=1, spatial_scale=(1.0, 1.0), aspect_ratio=(1.0, 1.0))
    config = Config.tiny().model_copy(update={"image_masks": (everything,)})
    (misfit,) = config.misfits(facts((4, 32, 32), (1, 32, 32)))
    assert misfit[0] == ("method", "image_masks", 0)


def test_a_loss_of_visible_tokens_far_away_may_count_as_any():
    torch.manual_seed(0)
    alike = Config.tiny().model_copy(update={"context": ContextLoss(far="alike")}).build()
    content = prepared(clips(4))
    torch.manual_seed(0)
    less = Config.tiny().build().training_losses(content).terms
    assert alike.training_losses(content).terms["hidden"] == less["hidden"]
    assert alike.training_losses(content).terms["visible"] > less["visible"]


def test_energy_is_the_loss_of_all_levels(objective):
    read = clips(4)
    energies = objective.energy(read, read)
    half = torch.arange(32).expand(3, -1)
    masks = Masks(context_index=half[:, :16], target_index=half[:, None, 16:])
    content = MaskedClips(groups=(ClipGroup(clips=read.pixels, masks=(masks,)),))
    hidden = objective.training_losses(content).terms["hidden"]
    torch.testing.assert_close(energies.mean(), hidden)

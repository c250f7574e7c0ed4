"""What pictures, probes and evaluation rely on, for every method that masks clips."""

import pytest
import torch
from einops import repeat

from tests.contracts.methods import MASKED, SETS, masked_clips, masked_group
from worldmodel_train.protocols import LatentPredictor, OpenPredictor
from worldmodel_train.types import ClipGroup, MaskedClips, Masks


@pytest.fixture(params=MASKED.values(), ids=MASKED.keys())
def config(request):
    return request.param


@pytest.fixture
def batch(config):
    return masked_clips(config)


def test_v_jepa_and_i_jepa_are_found():
    assert {"jepa/vjepa", "jepa/ijepa", "vjepa_1"} <= MASKED.keys()


def test_it_offers_what_evaluation_calls(objective):
    assert isinstance(objective, LatentPredictor)


def test_a_teacher_gives_the_targets_and_both_latents_are_watched(objective, batch):
    assert len(objective.ema_pairs()) == 1
    assert objective.training_losses(batch).latents.keys() == {"predicted", "target"}


def test_hidden_pixels_do_not_reach_the_predictions(objective, config):
    group = masked_group(config, 2, 1)
    masks = group.masks[0]
    noise = torch.randint_like(group.clips, 256)
    visible = _pixels_of(objective, group.clips, masks.context_index)
    changed = ClipGroup(clips=torch.where(visible, group.clips, noise), masks=(masks,))
    with torch.no_grad():
        before, after = objective.predict(group)[0], objective.predict(changed)[0]
    assert torch.equal(before.predicted, after.predicted)
    assert not torch.allclose(before.target, after.target, atol=0.1)


def test_visible_pixels_do_reach_the_predictions(objective, config):
    group = masked_group(config, 2, 1)
    changed = ClipGroup(clips=255 - group.clips, masks=group.masks)
    with torch.no_grad():
        before, after = objective.predict(group)[0], objective.predict(changed)[0]
    assert not torch.allclose(before.predicted, after.predicted)


def test_target_sets_do_not_see_each_other(objective, config):
    group = masked_group(config, 2, 1)
    masks = group.masks[0]
    alone = Masks(context_index=masks.context_index, target_index=masks.target_index[:, :1])
    with torch.no_grad():
        together = objective.predict(group)[0].predicted[:, :1]
        apart = objective.predict(ClipGroup(clips=group.clips, masks=(alone,)))[0].predicted
    torch.testing.assert_close(apart, together)


def test_two_clip_lengths_weigh_the_same(objective, batch):
    together = objective.training_losses(batch).total
    apart = [
        objective.training_losses(MaskedClips(groups=(group,))).total for group in batch.groups
    ]
    torch.testing.assert_close(together, torch.stack(apart).mean())


def test_what_it_predicts_from_can_be_changed(objective, config):
    group = masked_group(config, 2, 1)
    assert isinstance(objective, OpenPredictor)
    with torch.no_grad():
        contexts = objective.encode_context(group)
        predicted = [pair.predicted for pair in objective.predict(group)]
        blank = ClipGroup(clips=torch.zeros_like(group.clips), masks=group.masks)
        torch.testing.assert_close(list(objective.predict_from(contexts, blank)), predicted)
        edited = objective.predict_from([one + 1 for one in contexts[:1]] + contexts[1:], group)
    assert not torch.allclose(edited[0], predicted[0])
    assert all(torch.equal(*both) for both in zip(edited[1:], predicted[1:], strict=True))


def test_padding_changes_nothing(objective, config):
    """Ragged masks, padded, give what the same samples give one by one without padding."""
    group = masked_group(config, 3, 1)
    whole = group.masks[0]
    num_context, num_targets = whole.context_index.shape[1], whole.target_index.shape[2]
    context_counts = torch.tensor([num_context, num_context - 2, 1])
    target_counts = torch.tensor([[num_targets, 1], [2, num_targets], [num_targets - 1, 3]])
    masks = Masks(
        context_index=whole.context_index,
        target_index=whole.target_index,
        context_valid=torch.arange(num_context) < context_counts[:, None],
        target_valid=torch.arange(num_targets) < target_counts[..., None],
    )
    padded_group = ClipGroup(clips=group.clips, masks=(masks,))
    padded = objective.predict(padded_group)[0]
    total, count = 0.0, 0
    for sample, target_set in [(i, j) for i in range(3) for j in range(SETS)]:
        kept = int(target_counts[sample, target_set])
        only = Masks(
            context_index=whole.context_index[[sample], : context_counts[sample]],
            target_index=whole.target_index[[sample], target_set, None, :kept],
        )
        alone = ClipGroup(clips=group.clips[[sample]], masks=(only,))
        pair = objective.predict(alone)[0]
        torch.testing.assert_close(
            padded.predicted[sample, target_set, :kept], pair.predicted[0, 0]
        )
        torch.testing.assert_close(padded.target[sample, target_set, :kept], pair.target[0, 0])
        alone_batch = MaskedClips(groups=(alone,))
        total += kept * objective.training_losses(alone_batch).total
        count += kept
    losses = objective.training_losses(MaskedClips(groups=(padded_group,)))
    torch.testing.assert_close(losses.total, total / count)


def test_encode_gives_every_token_in_the_space_of_the_targets(objective, config):
    group = masked_group(config, 2, 1)
    latents, pair = objective.encode(group.clips), objective.predict(group)[0]
    assert latents.shape[1] == objective.token_grid(group.clips).num_tokens
    assert not latents.requires_grad
    first = group.masks[0].target_index[:, 0]
    torch.testing.assert_close(pair.target[:, 0], latents[torch.arange(2)[:, None], first])


def _pixels_of(objective, clips, index):
    """True at the pixels of the tubelets with these ids."""
    grid = objective.token_grid(clips)
    tokens = torch.zeros(len(clips), grid.num_tokens, dtype=torch.bool).scatter(
        1, index, value=True
    )
    _, frames, height, width, _ = clips.shape
    return repeat(
        tokens.unflatten(1, grid),
        "b t h w -> b (t x) (h y) (w z) 1",
        x=frames // grid.frames,
        y=height // grid.height,
        z=width // grid.width,
    )

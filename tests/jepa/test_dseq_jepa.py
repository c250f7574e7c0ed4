from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.contracts.methods import masked_group
from worldmodel_train.jepa.dseq_jepa import Config, CurriculumConfig, RegionConfig
from worldmodel_train.models.gather import gather_tokens
from worldmodel_train.types import MaskedClips


@pytest.fixture
def config():
    return Config.tiny().model_copy(update={"regions": RegionConfig(layer=1, least_area=0.05)})


@pytest.fixture
def objective(config):
    torch.manual_seed(0)
    return config.build()


class Leaf(nn.Module):
    """Tokens that a gradient can be taken by, in place of those of pixels."""

    def __init__(self, embed, num_clips, num_tokens, width):
        super().__init__()
        self.grid = embed.grid
        self.tokens = nn.Parameter(torch.randn(num_clips, num_tokens, width))

    def forward(self, pictures, index):
        return gather_tokens(self.tokens, index.expand(len(pictures), -1))


def three_regions(objective, group):
    """A saliency map of columns: 0 to 1 stand out most, then 3, then the rest."""
    grid = objective.token_grid(group.clips)
    columns = torch.arange(grid.num_tokens) % grid.width
    saliency = torch.zeros(grid.num_tokens)
    saliency[columns == 0] = 9.0
    saliency[columns == 2] = 7.0
    return columns, saliency.expand(len(group.clips), -1)


def test_a_region_is_predicted_from_all_before_it_and_from_nothing_of_itself(config, objective):
    group = masked_group(config, 2, 1)
    columns, saliency = three_regions(objective, group)
    masks = objective.region_masks(saliency, group)
    assert len(masks) == 2
    encoder = objective.context_encoder
    encoder.patch_embed = Leaf(encoder.patch_embed, 2, len(columns), encoder.width)
    in_order = replace(group, masks=masks)
    predictions = objective.predict_from(objective.encode_context(in_order), in_order)
    for step, (seen, hidden) in enumerate([({0}, {2}), ({0, 2}, {1, 3})]):
        told = masks[step].target_index[0, 0]
        assert {int(c) for c in columns[told]} == hidden
        (gradient,) = torch.autograd.grad(
            predictions[step].square().sum(), encoder.patch_embed.tokens, retain_graph=True
        )
        reached = gradient.abs().sum(dim=(0, 2)) > 0
        assert {int(c) for c in columns[reached]} == seen
        assert reached[torch.tensor([int(c) in seen for c in columns])].all()


def test_the_order_is_that_of_the_slow_copy_s_saliency(objective, config):
    group = masked_group(config, 3, 1)
    latents, saliency = objective.target_encoder(group.clips, salient_after=1)
    masks = objective.region_masks(saliency[..., 0].detach(), group)
    pairs = objective.predict_regions(group)
    assert len(pairs) == len(masks)
    normalised = nn.functional.layer_norm(latents, latents.shape[-1:])
    for pair, mask in zip(pairs, masks, strict=True):
        assert not pair.target.requires_grad
        rows = torch.arange(3)[:, None]
        torch.testing.assert_close(pair.target[:, 0], normalised[rows, mask.target_index[:, 0]])


def test_the_loss_is_the_mean_over_all_tokens_that_are_predicted_in_any_region(objective, config):
    group = masked_group(config, 3, 1)
    errors, count = 0.0, 0
    for pair in objective.predict_regions(group):
        distance = nn.functional.smooth_l1_loss(pair.predicted, pair.target, reduction="none")
        valid = torch.ones_like(distance[..., 0]) if pair.valid is None else pair.valid
        errors += (distance.mean(dim=-1) * valid).sum()
        count += valid.sum()
    total = objective.training_losses(MaskedClips(groups=(group,))).total
    torch.testing.assert_close(total, errors / count)


def test_the_background_is_predicted_of_every_clip_once(objective, config):
    group = masked_group(config, 3, 1)
    _, saliency = objective.target_encoder(group.clips, salient_after=1)
    masks = objective.region_masks(saliency[..., 0].detach(), group)
    num_tokens = saliency.shape[1]
    for clip in range(3):
        predicted = torch.cat(
            [
                m.target_index[clip, 0]
                if m.target_valid is None
                else m.target_index[clip, 0][m.target_valid[clip, 0]]
                for m in masks
            ]
        )
        first = masks[0].context_index[clip]
        if masks[0].context_valid is not None:
            first = first[masks[0].context_valid[clip]]
        assert sorted(torch.cat((predicted, first)).tolist()) == list(range(num_tokens))


def test_the_chance_of_regions_grows_evenly_and_draws_are_repeatable():
    curriculum = CurriculumConfig(until_step=1000)
    assert [curriculum.chance(step) for step in (0, 250, 1000, 5000)] == [0.0, 0.25, 1.0, 1.0]
    taken = [curriculum.takes_regions(step) for step in range(1000)]
    assert taken == [curriculum.takes_regions(step) for step in range(1000)]
    assert taken[0] is False
    # the standard deviation of the sum is 13 in the whole and 7 in either half
    assert abs(sum(taken) - 500) < 60
    assert abs(sum(taken[:500]) - 125) < 40
    other = CurriculumConfig(until_step=1000, seed=1)
    assert taken != [other.takes_regions(step) for step in range(1000)]
    assert all(curriculum.takes_regions(step) for step in range(1000, 1100))


def test_a_step_is_one_of_masks_or_of_regions_as_it_is_told(objective, config):
    content = MaskedClips(groups=(masked_group(config, 3, 1),))
    untold = objective.training_losses(content)
    objective.begin_step(0)
    first = objective.training_losses(content)
    objective.begin_step(config.curriculum.until_step)
    last = objective.training_losses(content)
    assert [one.terms["by_regions"].item() for one in (untold, first, last)] == [1, 0, 1]
    assert torch.equal(untold.total, last.total)
    (pair,) = objective.predict(content.groups[0])
    torch.testing.assert_close(
        first.total, objective.loss.loss(pair.predicted, pair.target, pair.valid)
    )


def test_the_class_token_learns_and_its_copy_only_follows(objective, config):
    content = MaskedClips(groups=(masked_group(config, 3, 1),))
    objective.training_losses(content).total.backward()
    assert objective.context_encoder.class_token.grad.any()
    assert objective.target_encoder.class_token.grad is None


@pytest.mark.slow  # 150 steps
def test_regions_of_one_batch_are_learned(objective, config):
    group = masked_group(config, 4, 1)
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=3e-3)
    for step in range(150):
        objective.begin_step(2 * step)  # the curriculum ends at 100
        optimizer.zero_grad()
        objective.training_losses(MaskedClips(groups=(group,))).total.backward()
        optimizer.step()
    for pair in objective.predict_regions(group):
        kept = slice(None) if pair.valid is None else pair.valid
        error = (pair.predicted - pair.target)[kept].square().mean()
        assert error < 0.5 * pair.target[kept].var(dim=0).mean()

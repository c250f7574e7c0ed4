import pytest
import torch

from worldmodel_train.jepa.vjepa import Config
from worldmodel_train.types import ClipGroup, MaskedClips, Masks


@pytest.fixture
def objective():
    torch.manual_seed(0)
    return Config.tiny().build()


@pytest.fixture
def group():
    torch.manual_seed(1)
    clips = torch.randint(0, 256, (2, 4, 32, 32, 3), dtype=torch.uint8)
    return ClipGroup(clips=clips, masks=(_masks(8), _masks(20)))


def test_loss_is_the_mean_absolute_distance_over_mask_groups(objective, group):
    losses = objective.training_losses(MaskedClips(groups=(group,)))
    by_mask = [(p.predicted - p.target).abs().mean() for p in objective.predict(group)]
    torch.testing.assert_close(losses.total, (by_mask[0] + by_mask[1]) / 2)
    torch.testing.assert_close(losses.terms["mask_1"], by_mask[1].detach())


def test_targets_are_layer_normed_latents_of_the_full_clip(objective, group):
    (latents,) = objective.target_encoder(group.clips)
    for pair, masks in zip(objective.predict(group), group.masks, strict=True):
        index = masks.target_index[:, 0]
        expected = latents[torch.arange(2)[:, None], index]
        expected = expected - expected.mean(-1, keepdim=True)
        expected = expected / (expected.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        torch.testing.assert_close(pair.target[:, 0], expected)


def test_the_target_encoder_runs_once_per_clip(objective, group):
    seen = []
    objective.target_encoder.register_forward_hook(
        lambda *call: seen.extend(x.shape for x in call[2])
    )
    objective.predict(group)
    assert seen == [(2, 32, 48)]


def test_only_kept_tubelets_are_embedded_for_the_context(objective, group):
    embedded = []
    patch_embed = objective.context_encoder.patch_embed.proj
    patch_embed.register_forward_hook(lambda *call: embedded.append(call[2].shape[1]))
    objective.predict(group)
    assert embedded == [m.context_index.shape[1] for m in group.masks]


def test_mask_group_i_uses_mask_token_i(objective, group):
    objective.training_losses(MaskedClips(groups=(group,))).total.backward()
    assert objective.predictor.mask_tokens.grad.abs().sum(1).gt(0).all()
    objective.zero_grad()
    first = ClipGroup(clips=group.clips, masks=group.masks[:1])
    objective.training_losses(MaskedClips(groups=(first,))).total.backward()
    assert objective.predictor.mask_tokens.grad.abs().sum(1).gt(0).tolist() == [True, False]


def test_more_mask_groups_than_mask_tokens_is_an_error_that_names_the_remedy(objective, group):
    crowded = ClipGroup(clips=group.clips, masks=(*group.masks, _masks(4)))
    with pytest.raises(ValueError, match="set mask_tokens to 3"):
        objective.predict(crowded)


def test_parts_fit_a_recipe():
    recipe = {
        "encoder": {"size": "vit_large", "patch": 16, "tubelet": 2, "position": {"name": "rope3d"}},
        "predictor": {"width": 384, "depth": 12, "heads": 12, "mask_tokens": 2},
        "loss": {"name": "lp", "p": 1.0},
        "masks": [{"name": "multiblock3d"}],
    }
    with torch.device("meta"):
        objective = Config.model_validate(recipe).build()
    assert len(objective.predictor.blocks) == 12


def _masks(num_context):
    order = torch.stack([torch.randperm(32) for _ in range(2)])
    return Masks(context_index=order[:, :num_context], target_index=order[:, None, num_context:])

import pytest
import torch

from worldmodel_train.data.fixed import FixedClips
from worldmodel_train.evaluation.latents.latents import measure_latents
from worldmodel_train.masks import Multiblock3D

SEEDS = (0, 2)


def measured(model, held_out, masks, batch_size=3):
    return measure_latents(model, held_out, masks, seeds=SEEDS, batch_size=batch_size)


def test_a_perfect_predictor_explains_everything_and_copying_does_not(
    patch_means, held_out, sampler
):
    scores = measured(patch_means(error=0.0), held_out, [sampler])
    assert scores.overall.predictor.values == (1.0, 1.0)
    assert max(scores.overall.copy_nearest.values) < 0.5


def test_a_known_error_gives_the_known_share(patch_means, held_out, sampler):
    model = patch_means(error=0.05)
    scores = measured(model, held_out, [sampler])
    with torch.no_grad():
        target = model.encode(held_out.clips)[:, -1].double()
    variance = (target - target.mean(dim=0)).square().sum(dim=1).mean()
    expected = 1 - 6 * 0.05**2 / variance.item()
    assert scores.groups[0].predictor.values[0] == pytest.approx(expected, abs=1e-6)


def test_scores_do_not_depend_on_the_batch_size(patch_means, held_out, sampler):
    small, large = (
        measured(patch_means(error=0.1), held_out, [sampler, sampler], size) for size in (2, 64)
    )
    assert small.overall.predictor.values == pytest.approx(large.overall.predictor.values)
    assert small.rankme == pytest.approx(large.rankme)
    assert small.token_rankme == pytest.approx(large.token_rankme)


def test_scores_do_not_depend_on_the_batch_size_where_masks_are_cut_to_the_smallest(patch_means):
    clips = torch.randint(0, 256, (20, 4, 64, 64, 3), dtype=torch.uint8)
    held_out = FixedClips(
        clips=clips, keys=tuple(f"v{i // 4}" for i in range(20)), labels=(None,) * 20, skipped=()
    )
    blocks = Multiblock3D(num_blocks=2, spatial_scale=(0.3, 0.3))
    small, large = (measured(patch_means(error=0.1), held_out, [blocks], size) for size in (3, 64))
    assert small.overall.predictor.values == pytest.approx(large.overall.predictor.values)
    assert small.overall.copy_nearest.values == pytest.approx(large.overall.copy_nearest.values)
    assert small.over_videos == pytest.approx(large.over_videos)


def test_the_model_is_measured_in_evaluation_mode_and_left_as_it_was(
    patch_means, held_out, sampler
):
    model = patch_means(error=0.0).train()
    before = model.project.clone()
    measured(model, held_out, [sampler])
    assert not any(model.modes)
    assert model.training
    assert model.project.grad is None
    assert (model.project == before).all()

import pytest
import torch

from worldmodel_train.evaluation.config import EvaluationConfig
from worldmodel_train.evaluation.latents import measure_latents

CONFIG = EvaluationConfig(batch_size=3, mask_seeds=(0, 2))


def test_a_perfect_predictor_explains_everything_and_copying_does_not(
    patch_means, held_out, sampler
):
    scores = measure_latents(patch_means(error=0.0), held_out.clips, [sampler], CONFIG)
    assert scores.overall.predictor.values == (1.0, 1.0)
    assert max(scores.overall.copy_nearest.values) < 0.5


def test_a_known_error_gives_the_known_share(patch_means, held_out, sampler):
    model = patch_means(error=0.05)
    scores = measure_latents(model, held_out.clips, [sampler], CONFIG)
    with torch.no_grad():
        target = model.encode(held_out.clips)[:, -1].double()
    variance = (target - target.mean(dim=0)).square().sum(dim=1).mean()
    expected = 1 - 6 * 0.05**2 / variance.item()
    assert scores.groups[0].predictor.values[0] == pytest.approx(expected, abs=1e-6)


def test_scores_do_not_depend_on_the_batch_size(patch_means, held_out, sampler):
    small, large = (
        measure_latents(
            patch_means(error=0.1), held_out.clips, [sampler, sampler],
            CONFIG.model_copy(update={"batch_size": size}),
        )
        for size in (2, 64)
    )  # fmt: skip
    assert small.overall.predictor.values == pytest.approx(large.overall.predictor.values)
    assert small.rankme == pytest.approx(large.rankme)


def test_the_model_is_measured_in_evaluation_mode_and_left_as_it_was(
    patch_means, held_out, sampler
):
    model = patch_means(error=0.0).train()
    before = model.project.clone()
    measure_latents(model, held_out.clips, [sampler], CONFIG)
    assert not any(model.modes)
    assert model.training
    assert model.project.grad is None
    assert (model.project == before).all()

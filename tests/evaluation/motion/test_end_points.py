import pytest
import torch
from torch import nn

from worldmodel_train.envs.balls import FilmShape, Scene
from worldmodel_train.evaluation.motion.end_points import (
    MovedPictures,
    end_point_errors,
    farneback,
    model_flow,
    moved_pictures,
    no_flow,
)

SHAPE = FilmShape(frames=2, size=32, fps=8.0)


class Constant(nn.Module):
    def flow(self, first, second):
        assert not self.training
        assert first.shape == second.shape
        return torch.ones(len(first), 2, *first.shape[1:3])


@pytest.fixture(scope="module")
def truth():
    return moved_pictures(Scene(gravity=0.0, texture=True), SHAPE, 5)


def test_the_truth_has_no_error_and_no_flow_that_of_the_speed(truth):
    assert end_point_errors(truth.flow, truth).everywhere == 0
    errors = end_point_errors(no_flow(truth), truth)
    speed = truth.flow.norm(dim=1)[truth.moving].mean()
    assert errors.moving == pytest.approx(speed.item(), rel=1e-5)
    assert errors.still == 0


def test_they_are_distances_in_pixels():
    truth = MovedPictures(
        first=torch.zeros(1, 2, 2, 3, dtype=torch.uint8),
        second=torch.zeros(1, 2, 2, 3, dtype=torch.uint8),
        flow=torch.zeros(1, 2, 2, 2),
        moving=torch.tensor([[[True, False], [False, False]]]),
    )
    found = torch.zeros(1, 2, 2, 2)
    found[0, :, 0, 0] = torch.tensor([3.0, 4.0])
    errors = end_point_errors(found, truth)
    assert (errors.moving, errors.still, errors.everywhere) == (5, 0, 5 / 4)


def test_a_model_is_asked_in_batches_and_in_evaluation_mode(truth):
    flow = model_flow(Constant().train(), 2)(truth)
    assert torch.equal(flow, torch.ones_like(truth.flow))


def test_they_are_always_the_same(truth):
    again = moved_pictures(Scene(gravity=0.0, texture=True), SHAPE, 5)
    assert torch.equal(again.flow, truth.flow)
    assert torch.equal(again.second, truth.second)


def test_farneback_finds_a_texture_that_has_moved():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 16, 16, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=64, mode="bicubic").clamp(0, 1)
    first = (255 * smooth).byte().permute(0, 2, 3, 1)
    flow = torch.tensor([2.0, -1.0]).view(1, 2, 1, 1).expand(1, 2, 64, 64)
    inside = torch.zeros(1, 64, 64, dtype=torch.bool)
    inside[:, 8:-8, 8:-8] = True
    moved = MovedPictures(
        first=first, second=first.roll((-1, 2), dims=(1, 2)), flow=flow, moving=inside
    )
    assert end_point_errors(farneback(9)(moved), moved).moving < 0.2

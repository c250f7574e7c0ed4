import pytest
import torch

from worldmodel_train.evaluation.surprise.surprise import (
    MatchedCurves,
    Window,
    aligned,
    binomial_spread,
    latent_error,
    pixel_error,
    surprise,
)

WINDOW = Window(frames=8, tubelet=2, num_seen=2)


def films(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, 2, 16, 16, 16, 3), dtype=torch.uint8, generator=generator)


def test_a_window_moves_on_by_a_tubelet_and_is_dated_by_what_it_predicts_first():
    (film,) = films()[:1, 0]
    windows = WINDOW.over(film)
    assert windows.shape == (5, 8, 16, 16, 3)
    assert torch.equal(windows[3], film[6:14])
    assert WINDOW.times(16) == (4, 6, 8, 10, 12)


def test_surprise_is_the_mean_absolute_error_of_the_later_tubelets(patch_means):
    error = latent_error(patch_means(error=0.7), WINDOW.num_seen, 3)
    curves = surprise(films(), WINDOW, error)
    assert curves.shape == (3, 2, 5)
    assert torch.allclose(curves, torch.tensor(0.7))


def test_the_predictor_sees_the_past_alone(patch_means):
    asked = []

    class Listening(patch_means):
        def predict(self, group):
            asked.extend(group.masks)
            return super().predict(group)

    latent_error(Listening(error=0.0), WINDOW.num_seen, 8)(WINDOW.over(films()[0, 0]))
    (masks,) = asked
    places = 2 * 2  # of a tubelet
    assert masks.context_index[0].tolist() == list(range(2 * places))
    assert masks.target_index[0, 0].tolist() == list(range(2 * places, 4 * places))


def test_pixels_are_answered_by_the_last_frame_or_the_line_through_the_last_two():
    brighter = (10 * torch.arange(16)).to(torch.uint8)[:, None, None, None].expand(-1, 4, 4, 3)
    windows = WINDOW.over(brighter)
    copied, line = (pixel_error(4, slope=slope)(windows) for slope in (0, 1))
    assert torch.allclose(copied, torch.tensor((10 + 20 + 30 + 40) / 4 / 255))
    assert line.abs().max() < 1e-6


def test_the_more_surprising_films_win_and_the_same_count_half():
    possible = torch.tensor([[[1.0, 1.0, 4.0]], [[1.0, 2.0, 3.0]], [[1.0, 1.0, 1.0]]])
    impossible = torch.tensor([[[3.0, 3.0, 3.0]], [[1.0, 2.0, 3.0]], [[0.0, 0.0, 1.5]]])
    curves = MatchedCurves(possible=possible, impossible=impossible)
    assert curves.relative_by_mean.tolist() == [1, 0.5, 0]
    assert curves.relative_by_max.tolist() == [0, 0.5, 1]
    assert binomial_spread(curves.relative_by_mean) == pytest.approx((0.25 / 3) ** 0.5)


def test_curves_are_aligned_where_films_begin_to_differ():
    curves = torch.tensor([[[1.0, 2.0, 3.0]], [[5.0, 6.0, 7.0]]])
    points = dict(aligned(curves, ((4,), (7,)), (4, 6, 8), tubelet=2))
    assert points == {-2: 5.0, -1: 6.0, 0: (1.0 + 7.0) / 2, 1: 2.0, 2: 3.0}

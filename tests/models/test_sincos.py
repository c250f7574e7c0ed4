import math

import pytest
import torch

from worldmodel_train.models.sincos import SinCos1d, SinCos2d, SinCos3d
from worldmodel_train.types import TokenGrid


def test_3d_positions_are_time_then_height_then_width():
    grid, width = TokenGrid(3, 4, 5), 16  # a third is 6 channels, the last axis is cut to 4
    added = SinCos3d().add(torch.zeros(1, 60, width), torch.arange(60)[None], grid)[0]
    for index in (0, 7, 33, 59):
        t, h, w = index // 20, index // 5 % 4, index % 5
        expected = (_wave(t, 6) + _wave(h, 6) + _wave(w, 6))[:width]
        torch.testing.assert_close(added[index], torch.tensor(expected))


def test_2d_positions_are_width_then_height():
    grid = TokenGrid(1, 4, 5)
    added = SinCos2d().add(torch.zeros(1, 20, 16), torch.arange(20)[None], grid)[0]
    for index in (0, 7, 19):
        expected = _wave(index % 5, 8) + _wave(index // 5, 8)
        torch.testing.assert_close(added[index], torch.tensor(expected))


def test_1d_positions_count_all_tokens_and_alternate_sine_and_cosine():
    grid = TokenGrid(3, 4, 5)
    position = SinCos1d(grid=(3, 4, 5))
    added = position.add(torch.zeros(1, 60, 16), torch.arange(60)[None], grid)[0]
    for index in (0, 7, 33, 59):
        sines, cosines = _wave(index, 16)[:8], _wave(index, 16)[8:]
        torch.testing.assert_close(added[index, 0::2], torch.tensor(sines))
        torch.testing.assert_close(added[index, 1::2], torch.tensor(cosines))


def test_1d_positions_refuse_clips_of_another_size():
    with pytest.raises(ValueError, match="knows clips of 2x2x2 tokens, not of 1x4x2; use clips"):
        SinCos1d(grid=(2, 2, 2)).add(
            torch.zeros(1, 8, 16), torch.arange(8)[None], TokenGrid(1, 4, 2)
        )


POSITIONS = [SinCos1d(grid=(1, 6, 6)), SinCos2d(), SinCos3d()]


@pytest.mark.parametrize("position", POSITIONS, ids=lambda p: p.name)
def test_kept_tokens_get_the_positions_they_had_in_the_full_clip(position):
    grid = TokenGrid(1, 6, 6)
    tokens = torch.randn(2, 36, 24)
    index = torch.stack([torch.randperm(36)[:10] for _ in range(2)])
    rows = torch.arange(2)[:, None]
    full = position.add(tokens, torch.arange(36)[None], grid)
    assert torch.equal(position.add(tokens[rows, index], index, grid), full[rows, index])


def test_2d_positions_refuse_video():
    with pytest.raises(ValueError, match="sincos3d"):
        SinCos2d().add(torch.zeros(1, 8, 16), torch.arange(8)[None], TokenGrid(2, 2, 2))


def _wave(position, width):
    half = width // 2
    angles = [position * 10_000 ** (-k / half) for k in range(half)]
    return [math.sin(a) for a in angles] + [math.cos(a) for a in angles]

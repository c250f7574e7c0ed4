import pytest

from worldmodel_train.data.config import ClipConfig
from worldmodel_train.data.sizes import token_grid


def test_a_clip_is_counted_in_tubelets_and_patches():
    assert token_grid(ClipConfig(frames=16), size=256, patch=16, tubelet=2) == (8, 16, 16)


def test_an_image_is_one_tubelet_deep():
    assert token_grid(ClipConfig(frames=1), size=224, patch=14, tubelet=1) == (1, 16, 16)


@pytest.mark.parametrize(
    ("frames", "size", "message"),
    [
        (15, 256, "use 14"),
        (16, 250, "use 240"),
        (1, 256, "frames=1 is not a multiple of tubelet=2; use 2"),
    ],
)
def test_what_does_not_divide_is_refused_with_a_remedy(frames, size, message):
    with pytest.raises(ValueError, match=message):
        token_grid(ClipConfig(frames=frames), size=size, patch=16, tubelet=2)

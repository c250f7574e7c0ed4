import pytest
import torch

from worldmodel_train.cartography.place_and_clip import PlaceMeans, place_and_clip
from worldmodel_train.types import Masks


def test_the_means_of_a_place_leave_the_own_video_out():
    latents = torch.arange(24.0).reshape(3, 4, 2)
    places = PlaceMeans()
    places.add(latents[:2], ["a", "b"])
    places.add(latents[2:], ["b"])
    torch.testing.assert_close(places.without("a"), latents[1:].mean(dim=0))
    torch.testing.assert_close(places.without("b"), latents[0])


def test_an_only_video_has_nothing_to_compare_with():
    places = PlaceMeans()
    places.add(torch.ones(2, 4, 2), ["a", "a"])
    assert places.without("a").isnan().all()


@pytest.mark.parametrize("padded", [False, True])
def test_clips_that_differ_by_one_offset_are_predicted_without_error(padded):
    torch.manual_seed(0)
    usual = torch.randn(6, 3)
    offsets = torch.tensor([[1.0, 2.0, 3.0], [-4.0, 0.0, 4.0]])
    latents = usual + offsets[:, None]
    latents[:, 5] = 99.0  # seen by nobody, or padding
    context = torch.tensor([[0, 1, 5], [2, 3, 5]]) if padded else torch.tensor([[0, 1], [2, 3]])
    valid = torch.tensor([[True, True, False]] * 2) if padded else None
    masks = Masks(
        context_index=context, target_index=torch.tensor([[[4]], [[4]]]), context_valid=valid
    )
    predicted = place_and_clip(latents, usual.expand(2, -1, -1), masks)
    torch.testing.assert_close(predicted[:, 0, 0], latents[:, 4])

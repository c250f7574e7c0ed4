import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from worldmodel_train.losses.photometric import photometric_error, structural_similarity


def pictures(seed, *shape):
    return torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(seed))


def test_similarity_is_that_of_torchmetrics():
    """In fp64 there; the border, where it pads otherwise, is left out."""
    one, other = pictures(0, 9, 11), pictures(1, 9, 11)
    _, expected = structural_similarity_index_measure(
        one.double(), other.double(), gaussian_kernel=False, kernel_size=3, data_range=1.0,
        return_full_image=True,
    )  # fmt: skip
    found = structural_similarity(one, other)[..., 1:-1, 1:-1].double()
    torch.testing.assert_close(found, expected[..., 1:-1, 1:-1], rtol=1e-4, atol=1e-4)


def test_a_picture_is_wholly_like_itself():
    one = pictures(0, 6, 7)
    torch.testing.assert_close(structural_similarity(one, one), torch.ones_like(one))
    assert photometric_error(one, one, similarity=0.85).abs().max() < 1e-6


def test_other_light_is_less_of_an_error_to_similarity_than_other_structure():
    one = 0.5 * pictures(0, 8, 8)
    lighter, shuffled = one + 0.1, one.flip(2)
    light, structure = (
        photometric_error(other, one, similarity=1.0).mean() for other in (lighter, shuffled)
    )
    assert light < structure / 2


def test_without_similarity_it_is_the_absolute_difference_but_for_a_thousandth():
    one, other = pictures(0, 8, 8), pictures(1, 8, 8)
    found = photometric_error(one, other, similarity=0.0)
    torch.testing.assert_close(found, (one - other).abs().mean(dim=1), rtol=0, atol=1e-3)


@pytest.mark.parametrize("similarity", [0.0, 0.85])
def test_equal_pictures_give_a_finite_gradient(similarity):
    made = pictures(0, 6, 6).requires_grad_()
    photometric_error(made, made.detach(), similarity=similarity).sum().backward()
    assert made.grad.isfinite().all()

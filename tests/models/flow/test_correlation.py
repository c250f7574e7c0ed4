import torch

from worldmodel_train.models.flow.correlation import local_correlation


def features(seed):
    return torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(seed))


def test_it_is_the_mean_product_with_each_place_around():
    """Place by place, in fp64."""
    first, second, reach = features(0), features(1), 2
    found = local_correlation(first, second, reach)
    expected = torch.zeros(2, 25, 4, 5, dtype=torch.float64)
    for row in range(4):
        for column in range(5):
            for number in range(25):
                down, right = row + number // 5 - reach, column + number % 5 - reach
                if 0 <= down < 4 and 0 <= right < 5:
                    one, other = first[:, :, row, column], second[:, :, down, right]
                    product = one.double() * other.double()
                    expected[:, number, row, column] = product.mean(dim=1)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-6)


def test_it_is_most_where_a_picture_has_moved_to():
    first = torch.nn.functional.normalize(features(0), dim=1)
    moved = first.roll((-1, 1), dims=(2, 3))  # up by 1, right by 1
    best = local_correlation(first, moved, 1).argmax(dim=1)
    assert (best[:, 1:, :-1] == 2).all()  # the last of the first row of 3

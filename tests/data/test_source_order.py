import pytest

from worldmodel_train.data.order import Permutation
from worldmodel_train.data.random_streams import Stream, key
from worldmodel_train.data.source_order import SourceOrder


@pytest.mark.parametrize("size", [1, 100, 128, 300])
def test_an_epoch_is_a_permutation_of_its_own_key_wherever_it_is_looked_into(size):
    order = SourceOrder(size, seed=1, number=2)
    for epoch in (3, 0):
        expected = Permutation(size, key(Stream.ORDER, 1, 2, epoch))
        for place in reversed(range(size)):
            assert order.number_at(epoch * size + place, 0) == expected(place)


def test_sources_and_seeds_have_orders_of_their_own():
    orders = [
        [SourceOrder(18, seed=s, number=n).number_at(i, 0) for i in range(18)]
        for s, n in ((1, 0), (1, 1), (2, 0))
    ]
    assert orders[0] != orders[1]
    assert orders[0] != orders[2]


def test_replacements_are_drawn_again_the_same():
    order = SourceOrder(18, seed=1, number=0)
    drawn = [order.number_at(4, attempt) for attempt in range(1, 30)]
    assert drawn == [order.number_at(4, attempt) for attempt in range(1, 30)]
    assert len(set(drawn)) > 5

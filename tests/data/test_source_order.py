from worldmodel_train.data.source_order import SourceOrder


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

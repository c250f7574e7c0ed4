from collections import Counter

import pytest

from worldmodel_train.data.trajectories.cameras import camera_of


@pytest.mark.parametrize("cameras", ["ab", "abc"])
def test_of_as_many_samples_in_a_row_as_there_are_cameras_each_has_one(cameras):
    drawn = [camera_of(cameras, seed=3, number=number) for number in range(600 * len(cameras))]
    turns = ["".join(drawn[at : at + len(cameras)]) for at in range(0, len(drawn), len(cameras))]
    assert {"".join(sorted(turn)) for turn in turns} == {cameras}
    orders = Counter(turns)
    assert len(orders) == {"ab": 2, "abc": 6}[cameras]
    # binomial: 600 turns of a half or a sixth, five standard deviations
    expected, most_off = {"ab": (300, 62), "abc": (100, 46)}[cameras]
    assert all(abs(count - expected) < most_off for count in orders.values())


def test_the_seed_decides_and_one_camera_is_always_itself():
    drawn = [[camera_of("ab", seed=s, number=n) for n in range(64)] for s in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert camera_of(["left"], seed=0, number=7) == "left"

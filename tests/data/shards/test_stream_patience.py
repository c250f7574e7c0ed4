import pytest

from worldmodel_train.data.shards.stream_patience import LEAST_RATE, Patience, StalledError


def test_a_stream_may_pause_and_hurry_but_not_be_slow_for_long():
    patience = Patience(10.0)
    patience.note(9.0, 1)
    patience.note(1.0, 10 * LEAST_RATE)
    patience.note(9.9, 1)
    with pytest.raises(StalledError, match=r"2 bytes in 10 s; data.loader.stream_timeout_s=10"):
        patience.note(0.1, 1)


def test_what_brings_no_sample_is_given_up_after_ten_times_as_long():
    patience = Patience(10.0)
    for _ in range(10):
        patience.note(10.0, 1 << 30)
    patience.sample_came()
    for _ in range(10):
        patience.note(10.0, 1 << 30)
    with pytest.raises(StalledError, match="no sample for 10 x"):
        patience.note(1.0, 1 << 30)


def test_the_end_is_no_slow_stream():
    patience = Patience(10.0)
    patience.note(11.0, 0)
    with pytest.raises(StalledError):
        patience.note(11.0, 1)

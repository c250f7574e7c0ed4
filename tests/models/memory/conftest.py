import pytest

from benchmarks.live_bytes import LiveBytes


@pytest.fixture
def live_bytes():
    return LiveBytes()

import pytest

from tests.cli.launched import STARTED


@pytest.fixture(autouse=True)
def _nothing_left_running():
    yield
    while STARTED:
        launcher = STARTED.pop()
        launcher.kill()  # its ranks end with it
        launcher.wait()

import subprocess
import sys
import textwrap

import pytest

from worldmodel_train.training.clock import Clock, TimedBatches
from worldmodel_train.types import VideoBatch


class Counted:
    def __init__(self):
        self.starts = 0

    def __iter__(self):
        self.starts += 1
        return iter([VideoBatch(groups=(), first_sample=first) for first in range(3)])


def test_a_second_iteration_goes_on_and_does_not_start_the_loader_again():
    loader = Counted()
    batches = TimedBatches(loader, Clock(1))
    assert next(iter(batches)).first_sample == 0
    assert next(iter(batches)).first_sample == 1
    assert loader.starts == 1


STUCK = """
    import time
    from torch.utils.data import DataLoader, IterableDataset
    from worldmodel_train.training.clock import Clock, TimedBatches

    class Stuck(IterableDataset):
        def __iter__(self):
            yield 1
            time.sleep(1000)

    batches = TimedBatches(DataLoader(Stuck(), batch_size=None, num_workers=1), Clock(1))
    assert next(iter(batches)) == 1
    batches.close()
"""


@pytest.mark.slow
def test_a_stuck_loading_process_does_not_keep_the_program_from_ending():
    program = [sys.executable, "-c", textwrap.dedent(STUCK)]
    assert subprocess.run(program, timeout=60, check=False).returncode == 0

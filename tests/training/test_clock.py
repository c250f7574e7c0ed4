import subprocess
import sys
import textwrap

import pytest

from worldmodel_train.batch import Batch, Origin
from worldmodel_train.training.clock import Clock
from worldmodel_train.training.ranks.signals import StopSignals
from worldmodel_train.training.timed_batches import TimedBatches
from worldmodel_train.types import MaskedClips


class Counted:
    def __init__(self):
        self.starts = 0

    def __iter__(self):
        self.starts += 1
        return iter(
            [
                Batch(content=MaskedClips(groups=()), origin=Origin(first_sample=first))
                for first in range(3)
            ]
        )


def test_a_second_iteration_goes_on_and_does_not_start_the_loader_again():
    loader = Counted()
    batches = TimedBatches(loader, Clock(1, fastest=8.0), StopSignals())
    assert next(iter(batches)).origin.first_sample == 0
    assert next(iter(batches)).origin.first_sample == 1
    assert loader.starts == 1


STUCK = """
    import time
    from torch.utils.data import DataLoader, IterableDataset
    from worldmodel_train.training.clock import Clock
    from worldmodel_train.training.timed_batches import TimedBatches
    from worldmodel_train.training.ranks.signals import StopSignals
    from worldmodel_train.batch import Batch, Origin
    from worldmodel_train.types import MaskedClips

    class Stuck(IterableDataset):
        def __iter__(self):
            yield Batch(content=MaskedClips(groups=()), origin=Origin(first_sample=1))
            time.sleep(1000)

    loader = DataLoader(Stuck(), batch_size=None, num_workers=1)
    batches = TimedBatches(loader, Clock(1, fastest=8.0), StopSignals())
    assert next(iter(batches)).origin.first_sample == 1
    batches.close()
"""


@pytest.mark.slow
def test_a_stuck_loading_process_does_not_keep_the_program_from_ending():
    program = [sys.executable, "-c", textwrap.dedent(STUCK)]
    assert subprocess.run(program, timeout=60, check=False).returncode == 0


def test_the_usual_step_is_the_median_and_saving_does_not_count():
    clock = Clock(4, fastest=8.0)
    clock.begin(10)
    assert clock.usual_step is None
    for seconds in (1.0, 2.0, 9.0):
        clock._step_since -= seconds
        clock.count_step()
    assert clock.usual_step == pytest.approx(2.0, abs=0.1)
    assert clock.step == 13
    with clock.stopped():
        clock.phase.since -= 100.0
        with clock.stopped():
            assert clock.phase.activity == "pause"
    clock._step_since -= 100.0  # as if it had really taken that long
    clock.count_step()
    assert clock.usual_step == pytest.approx(1.5, abs=0.1)


def test_the_phase_says_what_is_being_done_and_since_when():
    clock = Clock(4, fastest=8.0)
    assert clock.phase.activity == "starting"
    clock.begin(3)
    before = clock.phase
    with clock.waiting():
        assert (clock.phase.activity, clock.phase.step) == ("data", 3)
        assert before.ended == clock.phase.since
    assert clock.phase.activity == "step"


def test_mfu_is_the_share_of_the_clips_that_all_devices_could_train_at_their_peak():
    clock = Clock(4, fastest=8.0)
    clock.begin(0)
    clock._since -= 10.0
    for _ in range(5):
        clock.count_step()
    pace = clock.read()
    assert pace.clips_per_s == pytest.approx(2.0, rel=0.01)
    assert pace.mfu == pytest.approx(0.25, rel=0.01)

import signal

import pytest
import torch.distributed as dist

from worldmodel_train.data.stream_positions import StreamPositions
from worldmodel_train.training.alarms import Alarms
from worldmodel_train.training.clock import Clock
from worldmodel_train.training.contact import LostContactError, contact_with_others
from worldmodel_train.training.guard import Guard, GuardConfig
from worldmodel_train.training.ranks.agreement import Agreement
from worldmodel_train.training.ranks.signals import StopSignals
from worldmodel_train.training.run_context import RunContext

# what gloo says, without the path in PyTorch's build
CLOSED = "[/x/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:1. This is bad"
LATE = "[/x/gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting 4000ms for recv operation"


@pytest.fixture
def watch():
    with StopSignals() as signals:
        clock = Clock(1, fastest=8.0)
        clock.begin(120)
        signals.catch()
        yield RunContext(
            guard=Guard(GuardConfig()),
            alarms=Alarms(GuardConfig()),
            clock=clock,
            signals=signals,
            agreement=Agreement(60.0),
            episodes=None,
            streams=StreamPositions(None),
        )


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError(CLOSED), "Connection closed by peer"),
        (RuntimeError(LATE), "Timed out waiting 4000ms for recv operation"),
        (RuntimeError("Application timeout caused pair closure"), "Application timeout"),
        (dist.DistBackendError("NCCL error: remote process exited"), "remote process exited"),
        (dist.DistNetworkError("Connection reset by peer"), "Connection reset by peer"),
    ],
)
def test_errors_of_collectives_become_one_line_that_says_where_the_run_was(
    tmp_path, watch, error, words
):
    with pytest.raises(LostContactError) as raised, contact_with_others(3, tmp_path, watch):
        raise error
    line = str(raised.value)
    for part in ("rank 3 ended: lost contact with another rank after step 120, in a step",
                 "there is no checkpoint yet", "train.timeout_s", words):  # fmt: skip
        assert part in line
    assert "\n" not in line
    assert raised.value.__cause__ is error


def test_other_errors_pass_through(tmp_path, watch):
    with (
        pytest.raises(RuntimeError, match="out of memory"),
        contact_with_others(0, tmp_path, watch),
    ):
        raise RuntimeError("CUDA out of memory")


def test_the_error_knows_of_a_signal_that_comes_after_it(tmp_path, watch):
    with pytest.raises(LostContactError) as raised, contact_with_others(0, tmp_path, watch):
        raise RuntimeError(CLOSED)
    assert not raised.value.told_to_leave
    signal.raise_signal(signal.SIGTERM)
    assert raised.value.told_to_leave

"""A run that acts while it trains is one run, however often it is stopped."""

import json
import os
import signal
import subprocess
import sys

import pytest
import torch

from tests.training import acting_run as acting
from tests.training import torchrun
from tests.training.forked import Forked
from worldmodel_train.training.checkpoints.files import read_meta
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.config import DeepSpeedConfig, Fsdp2Strategy
from worldmodel_train.training.run import pretrain
from worldmodel_train.training.strategies.strategy import refuse_to_act

PROGRAM = ("-m", "tests.training.acting_run")
TIMED = ("clips_per_s", "step_ms", "data_wait", "mfu")


def metrics(run_dir):
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in line if name not in TIMED} for line in lines]


def episodes(run_dir):
    return {path.name: path.read_bytes() for path in sorted((run_dir / "episodes").iterdir())}


@pytest.fixture
def assert_one_run(weights, assert_same):
    def check(one, other):
        assert metrics(one) == metrics(other)
        assert episodes(one) == episodes(other)
        assert_same(weights(one), weights(other))

    return check


def test_a_run_stopped_by_a_signal_equals_an_unbroken_one(tmp_path, assert_one_run):
    def stop(step):
        if step in (8, 17):
            signal.raise_signal(signal.SIGTERM)

    pretrain(acting.acting_parts(tmp_path / "one"))
    codes = [
        pretrain(acting.acting_parts(tmp_path / "two", at_batch=at)).exit_code
        for at in (stop, lambda step: stop(step) if step > 12 else None, lambda step: None)
    ]
    assert codes == [143, 143, 0]
    assert len(episodes(tmp_path / "one")) == 2 + 10
    assert_one_run(tmp_path / "one", tmp_path / "two")


def test_what_is_acted_out_is_reported_and_in_the_checkpoint(tmp_path):
    pretrain(acting.acting_parts(tmp_path, steps=7))
    said = [line["acting"] for line in metrics(tmp_path)]
    assert [line["episodes"] for line in said] == [2, 2, 2, 3, 3, 3, 4]
    assert all(line["length"] == 12 and line["return"] < 0 for line in said)
    kept = read_meta(CheckpointFolder(tmp_path).at(4)).collected
    assert kept["episodes"] == 3
    assert len(kept["digest"]) == 64


def test_a_policy_acts_in_evaluation_mode_and_training_goes_on_as_before(tmp_path):
    states = []

    class Watched(acting.Mover):
        def act(self, observation, memory, *, generator):
            action, _ = super().act(observation, memory, generator=generator)
            torch.rand(3)  # what a policy draws by mistake
            states.append(self.model[1].training)
            return action, None

        def training_losses(self, content):
            assert self.training
            states.append(self.model[1].training)
            return super().training_losses(content)

    pretrain(acting.acting_parts(tmp_path / "one", steps=6, objective=Watched))
    pretrain(acting.acting_parts(tmp_path / "two", steps=6))
    assert metrics(tmp_path / "one") == metrics(tmp_path / "two")
    assert states == [True] * 3 + [False] * 12 + [True] * 3 + [False] * 12


def test_an_episode_that_was_lost_is_named_when_the_run_resumes(tmp_path):
    pretrain(acting.acting_parts(tmp_path, steps=6))
    (tmp_path / "episodes/000002.npz").unlink()
    with pytest.raises(ValueError, match=r"000002\.npz was trained on, and is lost"):
        pretrain(acting.acting_parts(tmp_path, steps=8))


@pytest.mark.parametrize("chosen", [Fsdp2Strategy(name="fsdp2"), DeepSpeedConfig(zero_stage=1)])
def test_sharding_is_refused(chosen):
    with pytest.raises(ValueError, match=rf"train\.strategy={chosen.name} cuts up.*ddp or single"):
        refuse_to_act(chosen)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_a_run_killed_at_any_instant_equals_an_unbroken_one(tmp_path, assert_one_run, name):
    options = {"run_dir": str(tmp_path / "two"), "kills": 4, "chance": 5, "signal": name}
    options["steps"] = 80
    command = [sys.executable, *PROGRAM, json.dumps(options)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({kill["step"] for kill in kills}) > 1, kills
    assert {kill["code"] for kill in kills} <= {-signal.SIGKILL, 128 + signal.SIGTERM}
    pretrain(acting.acting_parts(tmp_path / "one", steps=80))
    assert_one_run(tmp_path / "one", tmp_path / "two")


@pytest.mark.distributed
def test_two_ranks_learn_from_what_the_first_one_acts_out(tmp_path, losses):
    options = {"run_dir": str(tmp_path / "two"), "steps": 10, "micro_batch": 2}
    for steps in (5, 10):  # the second start resumes
        started = options | {"steps": steps}
        ranks = [Forked("acting_run", started, place) for place in torchrun.places(2)]
        assert [rank.wait() for rank in ranks] == [0, 0]
    assert list(losses(tmp_path / "two")) == list(range(1, 11))
    assert len(episodes(tmp_path / "two")) == 2 + 3

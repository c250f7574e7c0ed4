import gzip
import json
import signal
from collections import Counter
from dataclasses import replace

import pytest

from tests.training import toy_run as toy
from worldmodel_train.training.run import pretrain


def profiled(parts, steps=3):
    return replace(parts, profile_steps=steps)


def test_the_trace_opens_as_json_and_holds_the_operators_of_the_steps_asked_for(
    tmp_path, caplog, losses
):
    pretrain(toy.toy_parts(tmp_path / "plain", steps=9))
    with caplog.at_level("INFO"):
        pretrain(profiled(toy.toy_parts(tmp_path / "run", steps=9)))
    assert losses(tmp_path / "run") == losses(tmp_path / "plain")
    trace, table = sorted((tmp_path / "run" / "profile").iterdir())
    assert [trace.name, table.name] == ["steps_6-8.json.gz", "steps_6-8.txt"]
    assert all(str(path) in caplog.text for path in (trace, table))
    with gzip.open(trace) as file:
        events = json.load(file)["traceEvents"]
    names = Counter(event["name"].split("#")[0] for event in events if "name" in event)
    assert names["ProfilerStep"] == names["Optimizer.step"] == 3
    assert names["aten::gelu_backward"] == 3
    assert "aten::gelu_backward" in table.read_text()


@pytest.mark.parametrize(
    ("steps", "remedy"), [(7, "use --profile 2 or raise"), (4, r"to train; raise train\.steps")]
)
def test_a_run_of_too_few_steps_says_so_before_the_model_is_built(tmp_path, steps, remedy):
    def build():
        raise AssertionError("the model was built")

    parts = toy.toy_parts(tmp_path, steps=steps, objective=build)
    with pytest.raises(ValueError, match=rf"--profile 3 .* but {steps} are left .*{remedy}"):
        pretrain(profiled(parts))


def test_a_run_that_goes_on_with_too_few_steps_left_is_trained_to_its_end(tmp_path, caplog):
    pretrain(toy.toy_parts(tmp_path, steps=2))
    assert pretrain(profiled(toy.toy_parts(tmp_path, steps=9))).step == 9
    assert "nothing is traced: --profile 3 takes 5 steps" in caplog.text
    assert pretrain(profiled(toy.toy_parts(tmp_path, steps=9))).step == 9  # finished already
    assert not (tmp_path / "profile").exists()


@pytest.mark.slow
def test_a_signal_in_the_middle_leaves_no_half_a_trace_and_the_next_start_may_trace(tmp_path):
    def stop(step):
        if step == 7:
            signal.raise_signal(signal.SIGTERM)

    first = pretrain(profiled(toy.toy_parts(tmp_path, steps=20, at_batch=stop)))
    assert 6 <= first.step <= 7
    assert not (tmp_path / "profile").exists()
    pretrain(profiled(toy.toy_parts(tmp_path, steps=20)))
    assert len(list((tmp_path / "profile").iterdir())) == 2

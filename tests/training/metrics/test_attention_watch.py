import json

from tests.training import toy_run as toy
from tests.training import vjepa_run as vjepa
from worldmodel_train.training.config import LogConfig
from worldmodel_train.training.metrics import attention_watch
from worldmodel_train.training.run import pretrain

NAMES = ("attention_entropy", "attention_entropy_least", "attention_entropy_most")
OPTIONS = {"steps": 3, "global_batch": 8, "log": LogConfig(every_steps=2)}


def readings(run_dir):
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line for line in lines}


def test_each_reading_has_the_entropies_and_the_run_is_as_without(
    tmp_path, monkeypatch, weights, assert_same
):
    pretrain(vjepa.vjepa_parts(tmp_path / "watched", **OPTIONS))
    monkeypatch.setattr(attention_watch, "few_clips", lambda content, number: None)
    pretrain(vjepa.vjepa_parts(tmp_path / "plain", **OPTIONS))
    assert_same(weights(tmp_path / "watched"), weights(tmp_path / "plain"))
    watched, plain = readings(tmp_path / "watched"), readings(tmp_path / "plain")
    assert watched.keys() == plain.keys() == {1, 2, 3}
    for step, line in watched.items():
        mean, least, most = (line["monitors"].pop(name) for name in NAMES)
        assert 0 < least <= mean <= most <= 1 + 1e-6
        assert line["monitors"] == plain[step]["monitors"]
        assert line["loss"] == plain[step]["loss"]


def test_a_method_that_encodes_nothing_has_none(tmp_path):
    pretrain(toy.toy_parts(tmp_path, steps=1))
    assert not set(NAMES) & readings(tmp_path)[1]["monitors"].keys()

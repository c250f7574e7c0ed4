import json
import os
import re
import time
from dataclasses import replace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

from worldmodel_train.training.metrics.sinks import MetricsFile, TensorBoard
from worldmodel_train.training.step_metrics import StepMetrics


def reading(step: int, loss: float = 0.5) -> StepMetrics:
    values = {"loss": loss, "monitors/target_rankme": 3.0, "lr": 0.1}
    return StepMetrics(step=step, values=values, non_finite=False)


def lines(run_dir) -> list[dict]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def test_names_with_a_slash_are_nested(tmp_path):
    MetricsFile(tmp_path, first_step=0).write(reading(1), {"truncated": 2})
    expected = {"step": 1, "loss": 0.5, "monitors": {"target_rankme": 3.0}, "lr": 0.1}
    assert lines(tmp_path) == [expected | {"skipped": {"truncated": 2}}]


def test_what_is_not_finite_is_null(tmp_path):
    metrics = MetricsFile(tmp_path, first_step=0)
    metrics.write(reading(1, float("nan")), {})
    metrics.write(reading(2, float("inf")), {})
    assert [line["loss"] for line in lines(tmp_path)] == [None, None]


def test_resuming_cuts_later_lines_and_half_lines(tmp_path):
    metrics = MetricsFile(tmp_path, first_step=0)
    for step in range(1, 6):
        metrics.write(reading(step), {})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')
    MetricsFile(tmp_path, first_step=3).write(reading(4), {})
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3, 4]


def written(run_dir, last_step):
    metrics = MetricsFile(run_dir, first_step=0)
    for step in range(1, last_step + 1):
        metrics.write(reading(step), {})
    return run_dir / "metrics.jsonl"


@pytest.mark.parametrize("tail", [b"\0" * 4096, b"\xff\xfe\n{\n", b'{"step": "x"}\n[1]\n7\n'])
def test_what_a_crash_left_behind_the_checkpoint_is_cut_with_a_word(tmp_path, caplog, tail):
    path = written(tmp_path, 5)
    with path.open("ab") as file:
        file.write(tail)
    MetricsFile(tmp_path, first_step=4)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3, 4]
    assert "cannot be read are cut" in caplog.text


@pytest.mark.parametrize("wrong", [b"\xff", b'{"step": 1, ', b'{"step": 9}', b"", b"[" * 100_000])
def test_a_damaged_line_before_that_is_named_and_nothing_is_cut(tmp_path, wrong):
    path = written(tmp_path, 5)
    content = path.read_bytes().split(b"\n")
    content[1] = wrong
    path.write_bytes(b"\n".join(content))
    with pytest.raises(ValueError, match=r"metrics\.jsonl: line [23] is damaged; .* move the file"):
        MetricsFile(tmp_path, first_step=4)
    assert path.read_bytes() == b"\n".join(content)


def test_a_pipe_in_its_place_is_named_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "metrics.jsonl")
    with pytest.raises(ValueError, match=r"metrics\.jsonl is a pipe.* move the file away"):
        MetricsFile(tmp_path, first_step=4)


def test_tensorboard_shows_a_resumed_run_as_one_curve(tmp_path):
    for first_step, last_step in ((0, 5), (3, 6)):
        board = TensorBoard(tmp_path, first_step=first_step)
        for step in range(first_step + 1, last_step + 1):
            board.write(reading(step), {"truncated": step})
        board.close()
        # files sort by the second they were begun in, and within one the tenth before the ninth
        time.sleep(1.01)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3, 4, 5, 6]
    assert events.Scalars("data/skipped/truncated")[-1].value == 6


def test_an_alarm_is_in_the_line_and_on_the_board(tmp_path):
    said = replace(reading(2), alarms={"loss_spike": "it jumped"})
    sinks = (MetricsFile(tmp_path, first_step=0), TensorBoard(tmp_path, first_step=0))
    for sink in sinks:
        sink.write(reading(1), {})
        sink.write(said, {})
        sink.close()
    assert [line.get("alarms") for line in lines(tmp_path)] == [None, {"loss_spike": "it jumped"}]
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    (event,) = board.Tensors("alarms/loss_spike/text_summary")
    assert event.step == 2
    assert event.tensor_proto.string_val == [b"it jumped"]


def test_the_dashboard_of_health_has_the_curves_of_a_run(tmp_path):
    board = TensorBoard(tmp_path, first_step=0)
    board.close()
    (event,) = (
        EventAccumulator(str(tmp_path / "tensorboard")).Reload().Tensors("custom_scalars__config__")
    )
    layout = Layout.FromString(event.tensor_proto.string_val[0])
    (category,) = layout.category
    assert category.title == "health"
    patterns = [tag for chart in category.chart for tag in chart.multiline.tag]
    names = (
        "loss", "monitors/target_rankme", "monitors/target_lidar", "monitors/target_std",
        "monitors/predicted_cosine", "monitors/teacher_distance", "grad_norm",
        "grad_norms/predictor", "data_wait", "terms/mask_0",
    )  # fmt: skip
    for name in names:
        assert any(re.search(pattern, name) for pattern in patterns), name

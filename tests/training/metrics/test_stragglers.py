import logging

from worldmodel_train.training.metrics.stragglers import Stragglers
from worldmodel_train.training.step_metrics import StepMetrics


def look(caplog, *all_waits) -> list[str]:
    caplog.set_level(logging.WARNING, logger="worldmodel_train")
    stragglers = Stragglers()
    for step, waits in enumerate(all_waits, start=1):
        stragglers.look(StepMetrics(step=step, values={}, non_finite=False, data_waits=waits))
    return [record.getMessage() for record in caplog.records]


def test_the_rank_whose_loader_is_slow_is_named_once(caplog):
    [text] = look(caplog, *[(0.01, 0.02, 0.6, 0.02)] * 8)
    assert text.startswith("rank 2 waits for data 60 % of its time at step 3, the median rank 2 %")


def test_loaders_that_are_all_slow_make_no_straggler(caplog):
    assert look(caplog, *[(0.6, 0.55, 0.62)] * 8) == []


def test_a_hiccup_is_not_named(caplog):
    assert look(caplog, *[(0.0, 0.5), (0.5, 0.0), (0.0, 0.0)] * 4) == []


def test_one_process_has_no_straggler(caplog):
    assert look(caplog, *[(0.9,)] * 8) == []

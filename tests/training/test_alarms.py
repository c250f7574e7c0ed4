import json
import time
from dataclasses import replace

import pytest

from tests.contracts.methods import CONFIGS
from tests.training.alarm_runs import HEALTHY, NoPredictor, alarms_of, lit, rate
from worldmodel_train.training.alarms import Alarms
from worldmodel_train.training.guard import GuardConfig
from worldmodel_train.training.step_metrics import StepMetrics

NAMES = {
    "rank": "monitors/target_rankme",
    "std": "monitors/target_std",
    "distance": "monitors/teacher_distance",
    "predictor": "grad_norms/predictor",
}
V_JEPA, LEWM = CONFIGS["jepa/vjepa"], CONFIGS["jepa/leworldmodel"]


def reading(step=1, **changed) -> StepMetrics:
    values = {
        "loss": 1.0, "monitors/target_rankme": 20.0, "monitors/target_std": 1.0,
        "monitors/teacher_distance": 0.1, "grad_norm": 1.0, "grad_norms/encoder": 0.1,
        "grad_norms/predictor": 0.9, "data_wait": 0.05, "lr": 1e-3,
    }  # fmt: skip
    values |= {NAMES.get(name, name): value for name, value in changed.items()}
    return StepMetrics(step=step, values=values, non_finite=False)


def looked(readings, config=None):
    """What each reading gives reason to say."""
    alarms = Alarms(config or GuardConfig())
    return [alarms.look(one) for one in readings]


WELL = [reading()] * 6
SIGNS = {
    "collapse": ({"rank": 1.2, "std": 0.05}, 1, ["RankMe 1.2", "first 20.0", "train.init"]),
    "partial_collapse": ({"rank": 7.0, "loss": 0.5}, 2,
                         ["RankMe 7 ", "was 20", "loss 0.5 ", "wmt eval"]),
    "lagging_teacher": ({"distance": 0.95}, 3, ["95%", "optim.ema"]),
    "copied_teacher": ({"distance": 0.0}, 3, ["copy of the student", "optim.ema"]),
    "exploding_gradients": ({"grad_norm": 25.0, "predictor": 24.0}, 2,
                            ["norm 25", "lately 1", "predictor", "optim.clip_grad_norm"]),
    "starving_loader": ({"data_wait": 0.62}, 3, ["62%", "data.loader.workers"]),
    "loss_spike": ({"loss": 2.5}, 2, ["2.5", "lately 1", "optim.lr"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SIGNS)
def test_an_alarm_is_one_sentence_with_numbers_and_a_remedy_after_its_readings(name):
    sign, readings, words = SIGNS[name]
    said = looked([*WELL, *([reading(**sign)] * readings)])
    assert said[:-1] == [{}] * (len(said) - 1)
    assert said[-1].keys() == {name}
    assert all(word in said[-1][name] for word in words), said[-1]


@pytest.mark.parametrize("name", SIGNS)
def test_a_sign_that_goes_away_before_its_readings_are_full_is_none(name):
    sign, readings, _ = SIGNS[name]
    almost = [reading(**sign)] * (readings - 1)
    assert not any(looked([*WELL, *almost, *WELL, *almost, *WELL]))


def test_an_alarm_is_given_once_and_again_after_a_long_calm():
    bad = [reading(data_wait=0.9)] * 3
    said = looked([*WELL, *bad, *bad, *WELL, *bad, *(WELL * 9), *bad])
    assert [n for n, given in enumerate(said) if given] == [8, len(said) - 1]


@pytest.mark.parametrize("change", [
    {"loss": 0.01}, {"rank": 9.0}, {"rank": 7.0}, {"loss": 0.5, "rank": 12.0}, {"loss": 1.8},
    {"distance": 0.6}, {"grad_norm": 9.0}, {"data_wait": 0.25}, {"distance": 0.0, "lr": 0.0},
])  # fmt: skip
def test_what_healthy_runs_do_is_no_alarm(change):
    assert not any(looked([*WELL, *([reading(**change)] * 10)]))


def test_a_restless_loss_around_zero_does_not_jump():
    losses = [0.3, -0.2, 0.1, -0.4, 0.2, -0.1, 0.4, -0.3, 0.45, 0.4]
    assert not any(looked([reading(loss=loss) for loss in losses]))


def test_the_wait_for_the_first_batch_is_no_sign():
    slow = reading(data_wait=0.9)
    assert not any(looked([slow, slow, slow]))


def test_alarms_that_are_silenced_or_about_ignored_collapse_are_not_given():
    jump = [*WELL, reading(loss=9.0), reading(loss=9.0)]
    assert not any(looked(jump, GuardConfig(silence=("loss_spike",))))
    gone = [*WELL, reading(rank=1.0, loss=0.1), reading(rank=1.0, loss=0.1)]
    assert not any(looked(gone, GuardConfig(collapse="ignore")))


def test_a_method_without_latents_and_teacher_has_the_other_alarms():
    def bare(one):
        values = {n: v for n, v in one.values.items() if not n.startswith("monitors/")}
        return replace(one, values=values)

    said = looked([bare(one) for one in (*WELL, reading(loss=9.0), reading(loss=9.0))])
    assert said[-1].keys() == {"loss_spike"}


def test_a_resumed_run_says_what_an_unbroken_one_does():
    bad = reading(grad_norm=50.0, data_wait=0.9, distance=float("nan"))
    readings = [*WELL, bad, bad, bad, *WELL]
    unbroken = looked(readings)
    for stop in range(len(readings)):
        first, second = Alarms(GuardConfig()), Alarms(GuardConfig())
        said = [first.look(one) for one in readings[:stop]]
        second.load(json.loads(json.dumps(first.state())))
        assert said + [second.look(one) for one in readings[stop:]] == unbroken


def test_a_memory_that_is_none_is_named_and_an_older_checkpoint_has_none():
    with pytest.raises(ValueError, match=r"^the checkpoint's meta\.json, alarms: "):
        Alarms(GuardConfig()).load({"first": {}})
    Alarms(GuardConfig()).load({})


@pytest.mark.slow
@pytest.mark.parametrize(("method", "seed"), [
    ("jepa/vjepa", 0), ("jepa/vjepa", 100), ("vjepa_1", 0), ("jepa/ijepa", 0),
    ("jepa/ijepa", 100), ("jepa/leworldmodel", 0), ("jepa/leworldmodel", 100),
    ("renderers/video_diffusion", 0), ("renderers/video_diffusion", 100), ("agents/tdmpc2", 0),
])  # fmt: skip
def test_a_healthy_run_gives_no_alarm(tmp_path, method, seed):
    config = CONFIGS[method]
    assert alarms_of(tmp_path, config.build, lit(config, seed), HEALTHY, 20) == set()


@pytest.mark.slow
def test_a_teacher_without_momentum_is_a_copy(tmp_path):
    optim = HEALTHY | {"ema": {"name": "constant", "value": 0.0}}
    assert alarms_of(tmp_path, V_JEPA.build, lit(V_JEPA), optim, 6) == {"copied_teacher"}


@pytest.mark.slow
def test_without_a_predictor_the_targets_become_simpler(tmp_path):
    def build():
        objective = V_JEPA.build()
        objective.predictor = NoPredictor()
        return objective

    optim = rate(3e-2) | {"ema": {"name": "linear", "start": 0.9, "end": 1.0}}
    assert "partial_collapse" in alarms_of(tmp_path, build, lit(V_JEPA), optim, 36)


@pytest.mark.slow
def test_without_its_regulariser_the_latents_shrink(tmp_path):
    config = LEWM.model_copy(update={"sigreg_weight": 0.0})
    assert "partial_collapse" in alarms_of(tmp_path, config.build, lit(config), rate(1e-2), 50)


@pytest.mark.slow
def test_a_rate_thirty_times_too_high_loses_the_teacher(tmp_path):
    config, optim = CONFIGS["jepa/ijepa"], HEALTHY | rate(3e-2)
    assert "lagging_teacher" in alarms_of(tmp_path, config.build, lit(config), optim, 24)


@pytest.mark.slow
def test_a_teacher_that_stands_still_lags(tmp_path):
    optim = rate(3e-2) | {"ema": {"name": "constant", "value": 1.0}}
    assert alarms_of(tmp_path, V_JEPA.build, lit(V_JEPA), optim, 20) == {"lagging_teacher"}


@pytest.mark.slow
def test_a_loss_that_jumps_takes_the_gradients_along(tmp_path):
    def build():
        objective, calls = LEWM.build(), []
        real = objective.training_losses

        def training_losses(content):
            calls.append(content)
            losses = real(content)
            return losses if len(calls) < 8 else replace(losses, total=losses.total * 100)

        objective.training_losses = training_losses
        return objective

    given = alarms_of(tmp_path, build, lit(LEWM), rate(1e-3), 10)
    assert given == {"loss_spike", "exploding_gradients"}


@pytest.mark.slow
def test_a_loader_that_sleeps_starves_the_device(tmp_path):
    good = lit(LEWM)

    def contents(step):
        time.sleep(0.3)
        return good(step)

    assert alarms_of(tmp_path, LEWM.build, contents, HEALTHY, 5) == {"starving_loader"}

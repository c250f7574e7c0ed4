from dataclasses import replace

import pytest
from lightning.fabric.plugins.environments.lightning import LightningEnvironment

from tests.training import toy_run as toy
from worldmodel_train.jepa.vjepa import Config
from worldmodel_train.training import compilation
from worldmodel_train.training.compilation import choose_compilation
from worldmodel_train.training.config import DeepSpeedConfig, Fsdp2Strategy, TrainConfig
from worldmodel_train.training.deterministic import deterministic_algorithms
from worldmodel_train.training.run import pretrain
from worldmodel_train.training.strategies.processes import Processes
from worldmodel_train.training.strategies.runtime import Runtime
from worldmodel_train.training.strategies.strategy import choose_runtime


def runtime(**changes) -> Runtime:
    """On a CPU, but for what is changed."""
    train = TrainConfig(steps=1, global_batch=4, micro_batch=4, accelerator="cpu")
    alone = Processes(rank=0, world_size=1, num_nodes=1, environment=LightningEnvironment())
    made = choose_runtime(train, alone, clip=None, build_objective=Config.tiny().build)
    return replace(made, **changes)


@pytest.fixture
def able(monkeypatch):
    """A machine that can compile for its GPU."""
    monkeypatch.setattr(compilation, "has_triton", lambda: True)
    monkeypatch.setattr(compilation.shutil, "which", lambda name: f"/usr/bin/{name}")


@pytest.fixture
def objective():
    return Config.tiny().build()


def test_an_objective_without_regions_is_not_left_uncompiled_in_silence(tmp_path):
    with pytest.raises(ValueError, match=r"train\.compile=true, but ToyJepa has no module"):
        pretrain(toy.toy_parts(tmp_path, compile=True))


@pytest.mark.parametrize("chosen", [None, Fsdp2Strategy(), DeepSpeedConfig(zero_stage=2)])
def test_auto_compiles_on_a_gpu_and_says_so(objective, able, caplog, chosen):
    caplog.set_level("INFO")
    changes = {"accelerator": "gpu"} | ({"chosen": chosen} if chosen else {})
    assert choose_compilation("auto", objective, runtime(**changes))
    assert "train.compile=auto compiles the blocks" in caplog.text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "compiling takes minutes on a CPU"),
        ({"accelerator": "gpu", "chosen": DeepSpeedConfig(zero_stage=3)}, "ZeRO 3 gathers weights"),
    ],
)
def test_auto_does_not_compile_where_it_would_not_do_and_says_why(
    objective, able, caplog, changes, reason
):
    caplog.set_level("INFO")
    assert not choose_compilation("auto", objective, runtime(**changes))
    assert f"train.compile=auto does not compile: {reason}" in caplog.text


def test_auto_does_not_compile_what_offers_no_regions_or_without_a_compiler(
    objective, able, caplog, monkeypatch
):
    caplog.set_level("INFO")
    gpu = runtime(accelerator="gpu")
    assert not choose_compilation("auto", toy.ToyJepa(), gpu)
    assert "ToyJepa has no module that offers regions" in caplog.text
    monkeypatch.setattr(compilation.shutil, "which", lambda name: None)
    assert not choose_compilation("auto", objective, gpu)
    assert "needs a C compiler and there is none; install gcc" in caplog.text


@pytest.mark.parametrize("asked", [True, False])
def test_what_a_recipe_says_of_compiling_is_done(objective, asked):
    assert choose_compilation(asked, objective, runtime()) is asked


def test_auto_does_not_compile_a_deterministic_run(objective, able, caplog):
    caplog.set_level("INFO")
    train = TrainConfig(steps=1, global_batch=4, micro_batch=4, deterministic=True)
    with deterministic_algorithms(train):
        assert not choose_compilation("auto", objective, runtime(accelerator="gpu"))
    assert "train.deterministic; compiled code may round" in caplog.text

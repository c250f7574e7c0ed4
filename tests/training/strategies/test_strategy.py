import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from pydantic import ValidationError

from worldmodel_train.jepa.vjepa import Config
from worldmodel_train.training.config import DeepSpeedConfig, TrainConfig
from worldmodel_train.training.optim import ClipGradConfig
from worldmodel_train.training.strategies.processes import Processes
from worldmodel_train.training.strategies.runtime import Runtime, accumulation
from worldmodel_train.training.strategies.strategy import choose_runtime

sizes = st.integers(1, 64)


def train(**changes) -> TrainConfig:
    values = {"steps": 1, "global_batch": 4, "micro_batch": 4}
    return TrainConfig.model_validate(values | changes)


def processes(world_size: int = 1) -> Processes:
    environment = LightningEnvironment()
    return Processes(rank=0, world_size=world_size, num_nodes=1, environment=environment)


@given(sizes, sizes, sizes)
def test_micro_batches_of_all_processes_make_the_global_batch(count, micro, world):
    assert accumulation(count * micro * world, micro, world) == count


@given(st.integers(1, 500), sizes, sizes)
def test_an_uneven_batch_names_values_that_work(global_batch, micro, world):
    together = micro * world
    if global_batch % together == 0:
        return
    with pytest.raises(ValueError, match=r"train\.global_batch=") as caught:
        accumulation(global_batch, micro, world)
    advice = str(caught.value).split("; use ")[1].replace(",", "").split()
    named = {word for word in advice if word.isdigit() or "=" in word}
    for word in named:
        key, _, number = word.rpartition("=")
        if key == "train.micro_batch":
            accumulation(global_batch, int(number), world)
        else:
            accumulation(int(number), micro, world)


def choose(processes: Processes, **changes) -> Runtime:
    return place_of(train(accelerator="cpu", **changes), processes)


def place_of(
    settings: TrainConfig, processes: Processes, clip: ClipGradConfig | None = None
) -> Runtime:
    build = Config.tiny().build
    return choose_runtime(settings, processes, clip=clip, build_objective=build)


def test_one_process_runs_on_one_device():
    runtime = choose(processes())
    assert isinstance(runtime.strategy, SingleDeviceStrategy)
    assert runtime.accelerator == "cpu"


def test_several_processes_run_ddp():
    runtime = choose(processes(2))
    assert isinstance(runtime.strategy, DDPStrategy)
    assert runtime.strategy.process_group_backend == "gloo"


def test_a_name_alone_is_a_strategy():
    assert train(strategy="deepspeed").strategy == DeepSpeedConfig(zero_stage=1, offload="none")
    with pytest.raises(ValidationError, match="'zero'"):
        train(strategy="zero")


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_deepspeed_sums_and_averages_gradients_in_fp32(precision):
    strategy = {"name": "deepspeed", "zero_stage": 2, "offload": "cpu"}
    sizes = {"global_batch": 16, "precision": precision}
    runtime = choose(processes(2), strategy=strategy, **sizes)
    config = runtime.strategy.config
    assert config["communication_data_type"] == "fp32"
    assert config["data_types"]["grad_accum_dtype"] in ("fp32", None)
    assert (config["data_types"]["grad_accum_dtype"] is None) == (precision == "fp32")
    assert config["bf16"]["enabled"] == (precision == "bf16")
    assert config["zero_optimization"]["stage"] == 2
    assert config["zero_optimization"]["offload_optimizer"]["device"] == "cpu"


def test_clipping_parts_apart_is_refused_where_the_engine_clips():
    clip = ClipGradConfig(norm=0.5, of="each_part")
    with pytest.raises(ValueError, match=r"each_part.*deepspeed.*use train.strategy=fsdp2 or ddp"):
        place_of(train(accelerator="cpu", strategy="deepspeed"), processes(2), clip)
    place_of(train(accelerator="cpu", strategy="ddp"), processes(2), clip)


def test_single_with_several_processes_is_refused():
    with pytest.raises(ValueError, match=r"train\.strategy=single, but 2 processes"):
        choose(processes(2), strategy="single")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_recipe_without_a_gpu_is_refused():
    with pytest.raises(ValueError, match=r"train\.accelerator=gpu, but PyTorch .* sees no GPU"):
        place_of(train(accelerator="gpu"), processes())


def test_a_micro_batch_that_does_not_divide_the_global_batch_is_refused_with_one_that_does():
    with pytest.raises(ValueError, match=r"use train.micro_batch=4"):
        train(global_batch=8, micro_batch=6)


def test_compiled_blocks_are_refused_under_zero_3_with_what_to_use():
    with pytest.raises(ValueError, match=r"use train\.compile=false, train\.strategy=fsdp2, or"):
        choose(processes(2), strategy={"name": "deepspeed", "zero_stage": 3}, compile=True)

import logging
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from worldmodel_train.models.memory import Sharding
from worldmodel_train.training.config import SingleStrategy, TrainConfig
from worldmodel_train.training.ranks.agreement import Agreement
from worldmodel_train.training.run import pretrain
from worldmodel_train.training.strategies.auto_checkpointing import (
    agree_on_checkpointing,
    auto_checkpointing,
    choose_checkpointing,
    sharding_of,
)
from worldmodel_train.training.strategies.places import Launch
from worldmodel_train.training.strategies.processes import Processes

GB = 10**9
NEEDS = {"none": 60, "selective": 40, "full": 20}
SHARE = {"ddp": 1.0, "zero1": 0.9, "zero2": 0.5, "zero3": 0.4}


def estimate(policy, sharding):
    return int(NEEDS[policy] * SHARE[sharding.layout] * GB)


def choose(gigabytes, layout="ddp", world_size=8):
    return auto_checkpointing(
        estimate, Sharding(layout=layout, world_size=world_size), gigabytes * GB
    )


@pytest.mark.parametrize(
    ("gigabytes", "policy"), [(80, "none"), (67, "none"), (66, "selective"), (24, "full")]
)
def test_the_fastest_policy_that_leaves_a_tenth_free_is_taken_and_the_log_has_the_numbers(
    gigabytes, policy
):
    chosen, why = choose(gigabytes)
    assert chosen == policy
    assert f"takes {policy}: a step needs 60 GB with none, 40 GB with selective" in why
    assert f"{0.9 * gigabytes:.3g} GB (90% of the GPU)" in why


def test_where_nothing_fits_the_error_names_the_least_sharing_out_that_would():
    with pytest.raises(ValueError, match=r"nothing fits.*zero_stage: 2\} \(10 GB\).*micro_batch"):
        choose(12)


@pytest.mark.parametrize(("layout", "world_size"), [("ddp", 1), ("zero3", 8)])
def test_no_sharing_out_is_named_where_there_is_none_to_be_had(layout, world_size):
    with pytest.raises(ValueError, match=r"are for it; use a smaller train\.micro_batch"):
        choose(8, layout, world_size)


@pytest.mark.parametrize(
    ("strategy", "layout", "offload"),
    [
        ("single", "ddp", False),
        ("ddp", "ddp", False),
        ("fsdp2", "zero3", False),
        ({"name": "deepspeed", "zero_stage": 2}, "zero2", False),
        ({"name": "deepspeed", "zero_stage": 3, "offload": "cpu"}, "zero3", True),
    ],
)
def test_the_estimate_is_of_the_strategy_that_was_chosen(strategy, layout, offload):
    settings = {"steps": 1, "global_batch": 16, "micro_batch": 4, "strategy": strategy}
    train = TrainConfig.model_validate(settings)
    sharding = sharding_of(train.strategy, train, 2)
    assert (sharding.layout, sharding.world_size, sharding.offload) == (layout, 2, offload)
    assert sharding.gradients == "fp32"  # of two micro-batches
    assert sharding_of(train.strategy, train, 4).gradients == "bf16"


def test_on_a_gpu_its_own_memory_counts_and_the_choice_is_logged_by_the_first_rank(
    monkeypatch, caplog
):
    properties = SimpleNamespace(total_memory=50 * GB)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    train = TrainConfig(steps=1, global_batch=4, micro_batch=4, activation_checkpointing="auto")
    for rank in (0, 1):
        processes = replace(Processes.from_environment(), rank=rank)
        launch = Launch(
            train=train,
            processes=processes,
            accelerator="cpu",
            chosen=SingleStrategy(),
            clip_grad_norm=None,
        )
        place = replace(launch.place(), accelerator="gpu")
        with caplog.at_level(logging.INFO):
            assert choose_checkpointing(train, place, estimate) == "selective"
    assert caplog.text.count("auto takes selective") == 1


def test_a_run_on_a_cpu_keeps_everything(toy, tmp_path, caplog):
    def never(policy, sharding):
        raise AssertionError("estimated")

    parts = toy.toy_parts(tmp_path, steps=1, activation_checkpointing="auto")
    with caplog.at_level(logging.INFO):
        pretrain(replace(parts, estimate_memory=never))
    assert "auto takes none on a CPU" in caplog.text


def test_ranks_whose_gpus_ask_for_different_policies_are_refused_with_the_one_for_all():
    class ThreeRanks(Agreement):
        def gather(self, value):
            return [value, "full", "none"]

    with pytest.raises(ValueError, match=r"rank 0, but full for that of rank 1; use .*=full"):
        agree_on_checkpointing("selective", ThreeRanks(timeout_s=1.0))

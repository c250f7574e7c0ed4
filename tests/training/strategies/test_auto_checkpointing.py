import logging
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from tests.training import toy_run as toy
from worldmodel_train.models.checkpointing import POLICIES, MixedCheckpointing, policies_of
from worldmodel_train.models.memory import Sharding
from worldmodel_train.training.config import SingleStrategy, TrainConfig
from worldmodel_train.training.ranks.agreement import Agreement
from worldmodel_train.training.run import pretrain
from worldmodel_train.training.strategies.auto_checkpointing import (
    agree_on_checkpointing,
    auto_checkpointing,
    choose_checkpointing,
    fastest_that_fits,
    sharding_of,
)
from worldmodel_train.training.strategies.processes import Processes
from worldmodel_train.training.strategies.runtime import Launch

GB = 10**9
NEEDS = {"none": 60, "selective": 40, "full": 20}
SHARE = {"ddp": 1.0, "zero1": 0.9, "zero2": 0.5, "zero3": 0.4}


def estimate(plan, sharding):
    needs = [NEEDS[policy] for policy in policies_of(plan)]
    share = plan.percent / 100 if isinstance(plan, MixedCheckpointing) else 0
    return int((needs[0] + share * (needs[-1] - needs[0])) * SHARE[sharding.layout] * GB)


def mixed(lighter, heavier, percent):
    return MixedCheckpointing(lighter=lighter, heavier=heavier, percent=percent)


def choose(gigabytes, layout="ddp", world_size=8):
    return auto_checkpointing(
        estimate, Sharding(layout=layout, world_size=world_size), int(gigabytes * GB)
    )


@pytest.mark.parametrize(("gigabytes", "policy"), [(80, "none"), (67, "none"), (22.3, "full")])
def test_the_fastest_policy_that_leaves_a_tenth_free_is_taken_and_the_log_has_the_numbers(
    gigabytes, policy
):
    chosen, why = choose(gigabytes)
    assert chosen == policy
    assert f"takes {policy}: a step needs 60 GB with none, 40 GB with selective" in why
    assert f"{0.9 * gigabytes:.3g} GB (90% of the GPU)" in why


def test_only_as_many_blocks_as_needed_take_the_next_policy_and_the_log_says_so():
    chosen, why = choose(60)  # 54 GB to plan with, between 60 and 40
    assert chosen == mixed("none", "selective", 30)
    assert (
        "takes selective for the first 30 % of each stack's blocks, none for the others: a step "
        "needs 54 GB so, 60 GB with none, 40 GB with selective, 20 GB with full under ddp, and "
        "54 GB (90% of the GPU) are for it"
    ) in why


def test_the_share_is_the_least_that_fits_and_grows_as_the_memory_shrinks():
    sharding = Sharding(layout="ddp", world_size=8)
    shares = []
    for room in range(60 * GB, 20 * GB, -GB // 3):
        plan = fastest_that_fits(estimate, sharding, float(room))
        assert estimate(plan, sharding) <= room
        if isinstance(plan, MixedCheckpointing) and plan.percent > 1:
            assert estimate(replace(plan, percent=plan.percent - 1), sharding) > room
        heavier = POLICIES.index(policies_of(plan)[-1])
        shares.append((heavier, plan.percent if isinstance(plan, MixedCheckpointing) else 100))
    assert shares[0] == (0, 100)
    assert shares == sorted(shares)
    assert {heavier for heavier, _ in shares} == {0, 1, 2}
    assert len(set(shares)) > 90


def test_where_mixing_costs_more_than_it_saves_the_next_policy_is_taken_for_all():
    def copies_as_well(plan, sharding):
        return estimate(plan, sharding) + 30 * GB * isinstance(plan, MixedCheckpointing)

    sharding = Sharding(layout="ddp", world_size=8)
    assert fastest_that_fits(copies_as_well, sharding, 50.0 * GB) == "selective"


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


@pytest.mark.parametrize("total_memory", [50 * GB, 50 * GB + 300 * 10**6])
def test_on_a_gpu_its_own_whole_gigabytes_count_and_the_choice_is_logged_by_the_first_rank(
    monkeypatch, caplog, total_memory
):
    properties = SimpleNamespace(total_memory=total_memory)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    train = TrainConfig(steps=1, global_batch=4, micro_batch=4, activation_checkpointing="auto")
    for rank in (0, 1):
        processes = replace(Processes.from_environment(), rank=rank)
        launch = Launch(
            train=train,
            processes=processes,
            accelerator="cpu",
            chosen=SingleStrategy(),
        )
        runtime = replace(launch.runtime(), accelerator="gpu")
        with caplog.at_level(logging.INFO):
            chosen = choose_checkpointing(train, runtime, toy.ToyCost(estimate))
            assert chosen == mixed("none", "selective", 75)
        with pytest.raises(ValueError, match="use none, selective or full"):
            choose_checkpointing(train, runtime, None)
    assert caplog.text.count("auto takes selective for the first 75 %") == 1


def test_a_run_on_a_cpu_keeps_everything(tmp_path, caplog):
    def never(policy, sharding):
        raise AssertionError("estimated")

    parts = toy.toy_parts(tmp_path, steps=1, activation_checkpointing="auto")
    with caplog.at_level(logging.INFO):
        pretrain(replace(parts, cost=lambda: toy.ToyCost(never)))
    assert "auto takes none on a CPU" in caplog.text


def test_ranks_whose_gpus_ask_for_different_policies_are_refused_with_the_one_for_all():
    class ThreeRanks(Agreement):
        def gather(self, value):
            return [value, "full", "none"]

    with pytest.raises(ValueError, match=r"rank 0, selective; .* rank 1, full; use .*=full"):
        agree_on_checkpointing("selective", ThreeRanks(timeout_s=1.0))


def test_ranks_that_would_mix_policies_otherwise_are_refused_with_the_heaviest_of_them():
    class TwoRanks(Agreement):
        other = mixed("none", "selective", 30)

        def gather(self, value):
            return [value, self.other]

    ranks = TwoRanks(timeout_s=1.0)
    agree_on_checkpointing(mixed("none", "selective", 30), ranks)
    for first in (mixed("none", "selective", 31), "none"):
        with pytest.raises(ValueError, match=r"rank 1, selective for the first 30 % .*=selective$"):
            agree_on_checkpointing(first, ranks)

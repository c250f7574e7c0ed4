"""The plan for internet scale agrees with closed forms for small cases."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import scaling_model as scaling
from worldmodel_train.cli.memory import cost_of
from worldmodel_train.models.memory import LAYOUTS

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "scaling_model.py"


@pytest.mark.parametrize(
    ("num_gpus", "micro_batch"), [(1, 24), (16, 24), (128, 24), (192, 16), (1024, 3)]
)
def test_the_micro_batch_fills_the_global_batch(num_gpus, micro_batch):
    recipe = scaling.fitting_recipe("vjepa2_vitl", num_gpus)
    assert recipe.train.micro_batch == micro_batch
    assert recipe.train.global_batch % (micro_batch * num_gpus) == 0


def test_gpus_that_cannot_share_the_batch_are_refused():
    with pytest.raises(ValueError, match="3072 clips do not split over 1000"):
        scaling.fitting_recipe("vjepa2_vitl", 1000)


def test_a_ring_is_as_fast_as_its_slowest_link():
    cluster = scaling.Cluster(nvlink=450.0, network=50.0, gpus_per_node=8, reached=0.5)
    assert cluster.bandwidth(8) == 0.5 * 450e9
    assert cluster.bandwidth(16) == 0.5 * 8 * 50e9


def test_a_plan_follows_from_flops_and_bytes():
    cluster = scaling.Cluster(
        mfu=0.5, reached=1.0, network=10.0, decoding=10.0, writer=1.0, storage=4.0
    )
    recipe = scaling.fitting_recipe("vjepa2_vitl", 16)
    plan = scaling.plan("ViT-L", recipe, 16, cluster)
    cost = cost_of(recipe)
    assert plan.nodes == 2
    assert (plan.micro_batch, plan.accumulation) == (24, 8)
    assert plan.computing == pytest.approx(cost.clip.total.total * 3072 / (16 * 989e12 * 0.5))
    encoder, predictor, _ = cost.parameters.values()
    trained, teacher = encoder + predictor, encoder
    assert plan.communicating["ddp"] == pytest.approx(15 / 16 * 8 * trained / 80e9)
    assert plan.layout == "ddp"
    step = plan.computing + plan.communicating["ddp"]
    assert plan.clips_per_second == pytest.approx(3072 / step)
    assert plan.bytes_per_second == pytest.approx(plan.clips_per_second * 1.25e6)
    assert plan.cores_per_node == pytest.approx(plan.clips_per_second / 2 / 10)
    assert plan.run_days == pytest.approx(step * 240_000 / 86400)
    assert plan.checkpoint_bytes == 4 * (3 * trained + teacher)
    assert plan.checkpoint_one_rank == plan.checkpoint_bytes / 1e9
    assert plan.checkpoint_sharded == plan.checkpoint_bytes / 4e9


def test_shards_hold_the_hours():
    # a megabit a second is 450 MB an hour
    assert scaling.num_shards(10.0, scaling.Cluster(video=1.0, shard=0.45)) == pytest.approx(10)


def test_assumptions_are_changed_by_name():
    assert scaling.assumed(["mfu=0.5", "gpu=h200"]) == scaling.Cluster(mfu=0.5, gpu="h200")
    with pytest.raises(ValueError, match='"netwrk" is not assumed; did you mean "network"'):
        scaling.assumed(["netwrk=3"])


@pytest.mark.slow
def test_the_script_prints_every_plan_as_json():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--json"],
        check=True,
        capture_output=True,
        text=True,
        cwd=SCRIPT.parents[1],
        timeout=120,
    )
    plans = json.loads(done.stdout)["plans"]
    assert {(one["model"], one["num_gpus"]) for one in plans} == {
        (model, gpus) for model in ("ViT-L", "ViT-H", "ViT-g") for gpus in (16, 128, 1024)
    }
    assert all(set(one["sent"]) == set(LAYOUTS) for one in plans)

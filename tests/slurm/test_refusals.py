"""What the batch scripts refuse, asked without a SLURM."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
JOB = {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "2", "SLURM_NTASKS": "16",
       "SLURM_NTASKS_PER_NODE": "8", "SLURM_GPUS_ON_NODE": "8",
       "SLURM_SUBMIT_DIR": str(ROOT)}  # fmt: skip


def refusal(script: str, *arguments: str, **variables: str | None) -> str:
    """The one line that the script ends with."""
    environment = {"PATH": os.environ["PATH"], **JOB, **variables}
    done = subprocess.run(
        ["bash", ROOT / "slurm" / script, *arguments], cwd=ROOT, check=False, timeout=20,
        env={k: v for k, v in environment.items() if v is not None},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


def test_a_recipe_must_be_named():
    for script in ("pretrain.sbatch", "probe.sbatch"):
        assert f"name a recipe: sbatch slurm/{script} RECIPE" in refusal(script)


@pytest.mark.parametrize("per_node", [None, "4"])
def test_tasks_must_be_given_per_node(per_node):
    line = refusal("pretrain.sbatch", "demo", SLURM_NTASKS_PER_NODE=per_node)
    assert "16 tasks on 2 nodes; give --nodes and --ntasks-per-node, not --ntasks" in line


@pytest.mark.parametrize("gpus", ["4", "16"])
def test_there_is_one_task_for_each_gpu(gpus):
    line = refusal("pretrain.sbatch", "demo", SLURM_GPUS_ON_NODE=gpus)
    assert f"8 tasks and {gpus} GPUs on a node" in line


def test_another_folder_than_the_checkout_is_named(tmp_path):
    for script in ("pretrain.sbatch", "probe.sbatch", "pack.sbatch"):
        line = refusal(script, "demo", SLURM_SUBMIT_DIR=str(tmp_path))
        assert f"submit from the checkout, or set WMT_HOME to it ({tmp_path} is none)" in line


def test_a_checkout_without_wmt_is_told_how_to_get_it(tmp_path):
    shutil.copytree(ROOT / "slurm", tmp_path / "slurm")
    path = ":".join(
        part for part in os.environ["PATH"].split(":") if not (Path(part) / "wmt").exists()
    )
    line = refusal("pretrain.sbatch", "demo", WMT_HOME=str(tmp_path), PATH=path)
    assert "run 'make setup' there, or set WMT_IMAGE" in line


def test_packing_wants_its_arguments_and_an_array():
    assert "LIST_OR_FOLDER OUT" in refusal("pack.sbatch", "videos.csv")
    assert "--array=1-64" in refusal("pack.sbatch", "videos.csv", "out")


@pytest.mark.parametrize("name", ["pretrain.sbatch", "pack.sbatch", "probe.sbatch", "common.sh"])
def test_shellcheck_finds_nothing(name):
    program = Path(sys.executable).with_name("shellcheck")
    if not program.exists():
        pytest.skip("shellcheck is not installed beside this Python; `make setup` does that")
    command = [program, "--external-sources", f"slurm/{name}"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")

import pytest
import torch

from worldmodel_train.training.strategies.processes import Processes

SLURM = {"SLURM_JOB_NAME": "wmt", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "16", "SLURM_NNODES": "2",
         "SLURM_NTASKS_PER_NODE": "8", "SLURM_PROCID": "11", "SLURM_LOCALID": "3",
         "SLURM_NODEID": "1"}  # fmt: skip


def launched(monkeypatch, variables: dict[str, str]) -> Processes:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Processes.from_environment()


def test_torchrun_variables_are_understood(monkeypatch):
    values = {"TORCHELASTIC_RUN_ID": "x", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1",
              "LOCAL_WORLD_SIZE": "4", "GROUP_RANK": "1"}  # fmt: skip
    found = launched(monkeypatch, values)
    assert (found.rank, found.world_size, found.num_nodes, found.per_node) == (5, 8, 2, 4)
    assert found.node_gpus(visible=4) == [torch.device("cuda", i) for i in range(4)]


def test_srun_variables_are_understood(monkeypatch):
    found = launched(monkeypatch, SLURM)
    assert (found.rank, found.world_size, found.num_nodes, found.per_node) == (11, 16, 2, 8)
    assert found.node_gpus(visible=8) == [torch.device("cuda", i) for i in range(8)]


def test_the_shell_of_an_allocation_is_one_process(monkeypatch):
    shell = {k: v for k, v in SLURM.items() if k not in ("SLURM_STEP_ID", "SLURM_PROCID")}
    found = launched(monkeypatch, shell)
    assert (found.rank, found.world_size, found.num_nodes) == (0, 1, 1)


@pytest.mark.parametrize(
    "binding", [{"SLURM_GPUS_PER_TASK": "1"}, {"SLURM_GPU_BIND": "single:1"},
                {"SLURM_TRES_PER_TASK": "gres:gpu:1"}]
)  # fmt: skip
def test_a_task_that_sees_only_its_own_gpu_trains_on_that(monkeypatch, binding):
    found = launched(monkeypatch, {**SLURM, **binding}).node_gpus(visible=1)
    assert found == [torch.device("cuda", 0)] * 8


@pytest.mark.parametrize(
    ("visible", "binding"), [(4, {}), (1, {}), (1, {"SLURM_GPU_BIND": "none"}),
                             (4, {"SLURM_GPUS_PER_TASK": "1"})]
)  # fmt: skip
def test_fewer_gpus_than_processes_are_refused(monkeypatch, visible, binding):
    with pytest.raises(ValueError, match=f"8 processes were started on a node with {visible} GPUs"):
        launched(monkeypatch, {**SLURM, **binding}).node_gpus(visible)

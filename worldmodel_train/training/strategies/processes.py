"""The processes that a launcher started for a run."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from lightning.fabric.plugins import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

# srun sets these where each task was given a GPU of its own, which is then the only one it sees
_OWN_GPU = ("SLURM_GPUS_PER_TASK", "SLURM_GPU_BIND", "SLURM_TRES_PER_TASK")


@dataclass(frozen=True, kw_only=True)
class Processes:
    """The processes that a launcher (torchrun, srun, or nobody) started for this run."""

    rank: int
    world_size: int
    num_nodes: int
    environment: ClusterEnvironment

    @classmethod
    def from_environment(cls) -> "Processes":
        """The processes that the launcher's environment variables tell of."""
        environment, num_nodes = _detect()
        return cls(
            rank=environment.global_rank(),
            world_size=environment.world_size(),
            num_nodes=num_nodes,
            environment=environment,
        )

    @property
    def per_node(self) -> int:
        """Processes on each node."""
        return self.world_size // self.num_nodes

    def node_gpus(self, visible: int) -> list[torch.device]:
        """The GPU of each process of this node, by local rank, where this one sees `visible`.

        Raises:
            ValueError: The node has fewer GPUs than processes.
        """
        if self.per_node <= visible:
            return [torch.device("cuda", index) for index in range(self.per_node)]
        if visible == 1 and _has_own_gpu(os.environ):
            return [torch.device("cuda", 0)] * self.per_node
        raise ValueError(
            f"{self.per_node} processes were started on a node with {visible} GPUs; start "
            f"{visible}, or under SLURM give each task a GPU of its own with --gpus-per-task=1"
        )


def _has_own_gpu(variables: Mapping[str, str]) -> bool:
    bindings = (variables.get(name, "") for name in _OWN_GPU)
    return any(binding and "none" not in binding for binding in bindings)


def _detect() -> tuple[ClusterEnvironment, int]:
    if TorchElasticEnvironment.detect():
        per_node = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
        return TorchElasticEnvironment(), max(1, int(os.environ["WORLD_SIZE"]) // per_node)
    # outside of srun, in the shell of salloc or sbatch, there is one process: nobody started others
    if "SLURM_STEP_ID" in os.environ and SLURMEnvironment.detect():
        # Lightning's own requeueing saves inside the signal handler and hangs when a rank is late
        slurm = SLURMEnvironment(auto_requeue=False)
        return slurm, int(os.environ.get("SLURM_NNODES", "1"))
    return LightningEnvironment(), 1

"""The processes that a launcher started for a run."""

import os
from dataclasses import dataclass

from lightning.fabric.plugins import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment


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


def _detect() -> tuple[ClusterEnvironment, int]:
    if TorchElasticEnvironment.detect():
        per_node = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
        return TorchElasticEnvironment(), max(1, int(os.environ["WORLD_SIZE"]) // per_node)
    if SLURMEnvironment.detect():
        # Lightning's own requeueing saves inside the signal handler and hangs when a rank is late
        slurm = SLURMEnvironment(auto_requeue=False)
        return slurm, int(os.environ.get("SLURM_NNODES", "1"))
    return LightningEnvironment(), 1

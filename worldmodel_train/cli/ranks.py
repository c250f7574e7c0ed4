"""The processes that measure a run together, as torchrun, srun or `wmt pretrain` started them."""

import os
from datetime import timedelta
from typing import TypeVar

import torch.distributed as dist

from worldmodel_train.evaluation.ranks import ALONE, Ranks
from worldmodel_train.training.contact import LostContactError, first_sentence, is_lost_contact
from worldmodel_train.training.ranks.agreement import Agreement
from worldmodel_train.training.strategies.processes import Processes

_TIMEOUT_S = 1800.0
"""That a rank may come later than others to where they meet; while they work they do so often."""

ValueT = TypeVar("ValueT")


class LaunchedRanks:
    """Ranks that a launcher started."""

    def __init__(self, processes: Processes) -> None:
        self.rank = processes.rank
        self.world_size = processes.world_size
        self._agreement = Agreement(_TIMEOUT_S)

    def gather(self, value: ValueT, /) -> list[ValueT]:
        """Every rank's value, by rank.

        Raises:
            LostContactError: Another rank has ended, or does not come.
        """
        try:
            return self._agreement.gather(value)
        except RuntimeError as error:
            if not is_lost_contact(error):
                raise
            raise LostContactError(
                f"rank {self.rank} ended: lost contact with another rank while measuring; the one "
                "that ended first says why in its log, unless it was killed (memory? node?). The "
                f"same command measures again. [{first_sentence(error)}]"
            ) from error


def launched_ranks() -> Ranks:
    """All ranks, which have met when this returns; this process alone where nobody started more."""
    processes = Processes.from_environment()
    if processes.world_size == 1:
        return ALONE
    if not dist.is_initialized():  # else they have trained together
        environment = processes.environment
        os.environ["MASTER_ADDR"] = environment.main_address
        os.environ["MASTER_PORT"] = str(environment.main_port)
        dist.init_process_group(
            "gloo",
            rank=processes.rank,
            world_size=processes.world_size,
            timeout=timedelta(seconds=_TIMEOUT_S),
        )
    return LaunchedRanks(processes)

"""A rank ends with the launcher that started it, even one that was killed with -9.

Without it ranks would go on alone, or wait for each other for the half hour that a rendezvous may
take. Ranks that srun started are srun's to end, and a run from a shell has no launcher.
"""

import ctypes
import os
import signal
import sys

from worldmodel_train.training.ranks.signals import LAUNCHER

_PR_SET_PDEATHSIG = 1


def end_with_launcher() -> None:
    """Lets the kernel send this rank SIGTERM when torchrun or `wmt` is gone.

    SIGTERM, and not SIGKILL: a rank that has trained a step saves, one that starts ends at once.
    Does nothing where neither of the two started this process, or not on Linux.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ or sys.platform != "linux":
        return
    # torchrun does not say who it is: if it dies before this line, nobody can tell
    launcher = int(os.environ.get(LAUNCHER, os.getppid()))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != launcher:  # it ended before the kernel knew
        os.kill(os.getpid(), signal.SIGTERM)

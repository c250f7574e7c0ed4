"""Looks whether a model can be built here at all, before that takes minutes and all memory."""

from pathlib import Path

import psutil

from worldmodel_train.recipe import Recipe

_LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container, or of a job


def check_size(recipe: Recipe) -> None:
    """Raises ValueError where the weights alone are larger than the host's memory.

    Each process draws all of them there, whatever strategy then spreads them.
    """
    cost = recipe.method.cost(recipe.facts)
    if cost is None:
        return
    needed, here = 4 * sum(cost.parameters.values()), host_bytes()
    if needed > here:
        raise ValueError(
            f"method: the weights of {', '.join(cost.parameters)} take {needed / 1e9:,.1f} GB in "
            f"fp32, and this machine has {here / 1e9:,.1f} GB; use a smaller width or depth"
        )


def host_bytes() -> int:
    """The memory that this process may use: the machine's, or less by its control group."""
    machine = psutil.virtual_memory().total
    limit = _LIMIT.read_text().strip() if _LIMIT.is_file() else "max"
    return machine if limit == "max" else min(machine, int(limit))

"""How PyTorch keeps the memory of a GPU; imports nothing, for it reads this when it is imported."""

import os

_NAMES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")


def let_segments_grow() -> None:
    """Lets stretches of a GPU's memory grow, unless the environment says how to keep it.

    The number of tokens changes from step to step; segments of fixed sizes would leave gaps.
    """
    if not any(name in os.environ for name in _NAMES):
        os.environ["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"

"""The GPU that `--gpu` names."""

from worldmodel_train.config.suggest import did_you_mean
from worldmodel_train.training.gpus import GPUS, Gpu


def find_gpu(name: str) -> Gpu:
    """The GPU of that name."""
    gpu = GPUS.get(name.lower())
    if gpu is None:
        raise ValueError(f'--gpu: "{name}" is not in the table; {did_you_mean(name, GPUS)}')
    return gpu

"""Names the machine and the packages that numbers were measured with."""

import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from worldmodel_train.evaluation.result import Machine

_PACKAGES = ("worldmodel-train", "torch", "lightning", "scikit-learn", "numpy", "decord", "av")
_CPU_INFO = Path("/proc/cpuinfo")


def describe_machine(device: torch.device) -> Machine:
    """The machine this runs on; `device` is where the model is."""
    return Machine(
        processor=_processor(),
        num_cores=_usable_cores(),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        versions={"python": platform.python_version(), **_package_versions()},
    )


def _processor() -> str:
    """The processor's name; Linux alone tells it in a file, elsewhere the platform does."""
    if _CPU_INFO.is_file():
        for line in _CPU_INFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _usable_cores() -> int:
    """Cores this process may use, which on shared machines are fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _package_versions() -> dict[str, str]:
    """Versions of those packages that are installed; decord is not for every processor."""
    versions = {}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions

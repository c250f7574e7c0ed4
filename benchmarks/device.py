"""On what something was measured."""

import re
import subprocess
from contextlib import AbstractContextManager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from worldmodel_train.evaluation.machine import describe_machine

_PACKAGES = ("triton", "transformers")


def choose_device(name: str, threads: int) -> torch.device:
    """The device called auto, cpu or cuda, after setting the number of threads of this process."""
    if threads > 0:
        torch.set_num_threads(threads)
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"--device={name} is none of auto, cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device=cuda, but torch sees no CUDA device; use cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def whole_fp32() -> AbstractContextManager[None]:
    """Convolutions in fp32 while it is entered: cuDNN's default is TF32, which is less exact."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


def describe(device: torch.device) -> dict[str, Any]:
    """The device, the versions of what ran on it, and the commit."""
    machine = describe_machine(device)
    on_gpu = device.type == "cuda"
    return {
        "device": machine.device if on_gpu else machine.processor,
        "processor": machine.processor,
        "cores": machine.num_cores,
        "torch_threads": torch.get_num_threads(),
        "compute_capability": torch.cuda.get_device_capability(device) if on_gpu else None,
        "versions": machine.versions | {"cuda": torch.version.cuda} | _versions(),
        "commit": commit(),
    }


def headline(machine: dict[str, Any]) -> str:
    """The device in a line."""
    versions = machine["versions"]
    threads = f"{machine['torch_threads']} of {machine['cores']} cores"
    return f"{machine['device']}, {threads}, torch {versions['torch']}, commit {machine['commit']}"


def slug(machine: dict[str, Any]) -> str:
    """The device in the name of a file."""
    return re.sub(r"[^a-z0-9]+", "_", str(machine["device"]).lower()).strip("_")


def commit() -> str:
    """The commit of the code that runs, with a plus where files differ from it."""
    folder = Path(__file__).parent
    git = ["git", "-C", str(folder)]
    try:
        name = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True
        )
        changes = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name.stdout.strip() + ("+" if changes.stdout.strip() else "")


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found

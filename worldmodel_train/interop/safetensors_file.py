"""Reading and writing safetensors files."""

from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from worldmodel_train.models.strict_state import CheckpointError


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor, from the header alone.

    Opening the file compares header and file size, so a header that promises more than there is
    cannot make us take memory.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file ({error}); copy or download it again"
        ) from error


def reader(path: Path, prefix: str) -> Callable[[str], Tensor]:
    """A function that reads the tensor of the name that it is given after `prefix`."""

    def read(name: str) -> Tensor:
        with safe_open(path, framework="pt") as file:
            return file.get_tensor(prefix + name)

    return read


def write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write all tensors, with the note without which transformers refuses a file."""
    save_file(dict(tensors), path, metadata={"format": "pt"})

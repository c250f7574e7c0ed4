"""Reading what `torch.save` wrote, from strangers."""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch

from worldmodel_train.models.strict_state import CheckpointError

# What torch's unpickler and the zip reader let through when bytes of a file are wrong.
DAMAGE = (
    zipfile.BadZipFile,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


def load(path: Path) -> Mapping[str, object]:
    """The dictionary in a file, read without running any code that the file names.

    Tensors stay on disk until they are used.
    """
    try:
        promised, packed = _sizes(path)
        if packed or promised > path.stat().st_size:
            raise CheckpointError(
                f"{path} promises {promised} bytes in a file of {path.stat().st_size}; "
                "torch.save writes no such files; refused"
            )
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than tensors, and loading it could run code from it; refused "
            f"({str(error).splitlines()[0]})"
        ) from error
    except DAMAGE as error:
        raise CheckpointError(
            f"{path} is damaged, or older than torch 1.6 ({type(error).__name__}: {error}); copy "
            "it again, or save it with a newer torch"
        ) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a dictionary of parts")
    return content


def _sizes(path: Path) -> tuple[int, bool]:
    """Bytes that the archive's directory promises, and whether any of them are compressed."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    promised = sum(entry.file_size for entry in entries)
    return promised, any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)

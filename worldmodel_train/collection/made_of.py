"""`collected.json`: what a folder of collected episodes is of."""

from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from worldmodel_train.config import StrictConfig
from worldmodel_train.config.sealed_json import SealError, sealed, unsealed

INDEX = "collected.json"


class MadeOf(StrictConfig):
    """What decides, with its number, all of an episode."""

    version: Literal[1] = 1
    """Of the format."""
    env: str
    """Name of the world."""
    options: dict[str, Any]
    """What the world's maker was given."""
    see: Literal["pixels", "vector"]
    """What the observations are."""
    size: int | None
    """Height and width of the pixels; null for vectors."""
    policy: str
    """What acted: a name, or the checkpoint of a run."""
    explores: bool = False
    """Whether the run's policy acted so as to learn more."""
    weights: str | None = None
    """SHA-256 of the run's state; null for a policy without one."""
    chosen_by: str | None = None
    """Checkpoint of the run whose ensemble chose; null where every episode was kept."""
    judge: str | None = None
    """SHA-256 of that run's state and of the ensemble's."""
    candidates: int = 1
    """Episodes acted out for each that was kept."""
    seed: int
    """Of all that was drawn."""
    longest: int
    """Actions after which an episode was cut."""
    per_shard: int
    """Episodes of each shard but the last."""

    def differences(self, other: "MadeOf") -> list[str]:
        """What decides an episode and is not alike, `key: here, not there`."""
        pairs = [(name, value, getattr(other, name)) for name, value in self]
        # a run may have been moved
        for path, digest in (("policy", "weights"), ("chosen_by", "judge")):
            if getattr(self, digest) is not None and getattr(self, digest) == getattr(
                other, digest
            ):
                pairs = [pair for pair in pairs if pair[0] != path]
        return [f"{name}: {mine}, not {its}" for name, mine, its in pairs if mine != its]


def made_of_bytes(made_of: MadeOf) -> bytes:
    """The file's content."""
    return sealed(made_of.model_dump_json(indent=2)).encode()


def read_made_of(folder: Path) -> MadeOf | None:
    """What `collected.json` says; None where there is none.

    Raises:
        ValueError: It is damaged.
    """
    path = folder / INDEX
    try:
        return MadeOf.model_validate_json(unsealed(path.read_bytes()) or b"")
    except FileNotFoundError:
        return None
    except (SealError, ValidationError) as error:
        reason = str(error).replace("\n", " ")
        raise ValueError(f"{path} is damaged ({reason}); collect into another folder") from error

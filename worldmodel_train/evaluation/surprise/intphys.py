"""Films of IntPhys (arXiv 1803.07616), from a folder as its development set is published.

    BLOCK/QUADRUPLET/{1,2,3,4}/scene/*.png      the frames, in the order of their names
    BLOCK/QUADRUPLET/{1,2,3,4}/status.json      {"header": {"is_possible": true, ...}, ...}

Two of four films are possible; the others have the same frames in another order.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from worldmodel_train.config.json_text import parse_object
from worldmodel_train.config.plain_file import read_plain

_LARGEST = 1 << 26  # bytes of a status.json


@dataclass(frozen=True, kw_only=True)
class Quadruplet:
    """Two possible films and two impossible ones."""

    block: str
    possible: UInt8[Tensor, "2 t h w c"]
    impossible: UInt8[Tensor, "2 t h w c"]


def blocks(folder: Path) -> dict[str, list[Path]]:
    """The quadruplets' folders by block, in the order of their names.

    Raises ValueError where there are none.
    """
    found = {
        block.name: sorted(one for one in block.iterdir() if (one / "1" / "status.json").is_file())
        for block in (sorted(folder.iterdir()) if folder.is_dir() else ())
        if block.is_dir()
    }
    found = {name: quadruplets for name, quadruplets in found.items() if quadruplets}
    if not found:
        raise ValueError(
            f"violation_of_expectation.intphys={folder} has no BLOCK/QUADRUPLET/1/status.json; "
            "name the folder of IntPhys' development set, which holds O1, O2 and O3"
        )
    return found


def read_quadruplet(folder: Path, *, every: int, size: int) -> Quadruplet:
    """Every `every`-th frame of the four films, as squares of `size` pixels.

    Raises ValueError where films or labels are missing, or the films are of several lengths.
    """
    films: dict[bool, list[UInt8[np.ndarray, "t h w c"]]] = {True: [], False: []}
    for number in range(1, 5):
        film = folder / str(number)
        films[_is_possible(film / "status.json")].append(_frames(film / "scene", every, size))
    lengths = {len(film) for both in films.values() for film in both}
    if len(films[True]) != 2 or len(lengths) != 1:
        raise ValueError(
            f"{folder}: {len(films[True])} of 4 films are possible, of {sorted(lengths)} frames; a "
            "quadruplet has 2 possible ones, and one length"
        )
    possible, impossible = (torch.from_numpy(np.stack(films[which])) for which in (True, False))
    return Quadruplet(block=folder.parent.name, possible=possible, impossible=impossible)


def _is_possible(path: Path) -> bool:
    header = parse_object(read_plain(path, _LARGEST), str(path)).get("header")
    label = header.get("is_possible") if isinstance(header, dict) else None
    if not isinstance(label, bool):
        raise ValueError(f"{path}: header.is_possible is {label!r}, not true or false")
    return label


def _frames(folder: Path, every: int, size: int) -> UInt8[np.ndarray, "t h w c"]:
    paths = sorted(folder.glob("*.png"))[::every]
    if not paths:
        raise ValueError(f"{folder} has no *.png; bring the film's frames back")
    return np.stack(list(_pictures(paths, size)))


def _pictures(paths: list[Path], size: int) -> Iterator[UInt8[np.ndarray, "h w c"]]:
    for path in paths:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise ValueError(f"{path} is no picture that can be read; bring it back")
        resized = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
        yield cv2.cvtColor(resized, cv2.COLOR_BGR2RGB)

"""From an objective to a checkpoint that other code bases read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from worldmodel_train.interop import huggingface, meta, safetensors_file
from worldmodel_train.interop.objective_parts import ALL_PARTS, Part, Parts, parts_of
from worldmodel_train.interop.position_table import ClipSize
from worldmodel_train.models.sincos import SinCos1d
from worldmodel_train.models.strict_state import CheckpointError

Layout = Literal["huggingface", "meta"]


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was written where."""

    path: Path
    layout: Layout
    written: tuple[Part, ...]
    left_out: tuple[Part, ...]
    """Parts for which the layout has no place."""

    def __str__(self) -> str:
        left_out = f"; the layout has no place for {', '.join(self.left_out)}"
        return f"{self.path} ({self.layout}): {', '.join(self.written)}" + (
            left_out if self.left_out else ""
        )


def export_checkpoint(
    objective: nn.Module, path: Path | str, *, layout: Layout, clip: ClipSize
) -> ExportReport:
    """A report of what was written to a new directory (huggingface) or file (meta).

    `clip` is the size of the clips that the model was trained on; both layouts write down
    positions for one size of clip.
    """
    modules = parts_of(objective)
    _check_clip(modules, clip)
    destination = new_file(Path(path))
    match layout:
        case "huggingface":
            written = huggingface.write(destination, modules, clip)
        case "meta":
            written = meta.write(destination, modules, clip)
    left_out: tuple[Part, ...] = tuple(part for part in ALL_PARTS if part not in written)
    return ExportReport(path=destination, layout=layout, written=written, left_out=left_out)


def export_merged(weights: Mapping[str, Tensor], path: Path | str) -> str:
    """What was written to a new safetensors file: all weights under their own names, in fp32."""
    destination = new_file(Path(path))
    safetensors_file.write(destination, weights)
    size = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    return f"{destination} (merged): {len(weights)} tensors, {size / 1e9:.3g} GB"


def new_file(destination: Path) -> Path:
    """The path, in a folder that is there; raises CheckpointError where something is."""
    if destination.exists():
        raise CheckpointError(f"{destination} exists; remove it or choose another output")
    destination.parent.mkdir(parents=True, exist_ok=True)
    return destination


def _check_clip(modules: Parts, clip: ClipSize) -> None:
    embed, position = modules.target_encoder.patch_embed, modules.target_encoder.position
    rests = clip.frames % embed.tubelet, clip.height % embed.patch, clip.width % embed.patch
    if min(clip) < 1 or any(rests):
        raise CheckpointError(
            f"clips of {clip.frames} frames of {clip.height}x{clip.width} px do not split into "
            f"tubelets of {embed.tubelet} frames of {embed.patch} px; give the size of the "
            "training clips"
        )
    grid = clip.grid(patch=embed.patch, tubelet=embed.tubelet)
    if isinstance(position, SinCos1d) and grid != position.grid:
        raise CheckpointError(
            f"clips are {tuple(grid)} tokens and method.encoder.position.grid is {position.grid}; "
            "give the size of the training clips"
        )

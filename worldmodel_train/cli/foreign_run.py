"""Run directories of weights that others trained: every command then works on them."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import typer
from torch import nn

from worldmodel_train.cli.objectives import build_objective
from worldmodel_train.config import StrictConfig
from worldmodel_train.config.json_text import parse_model
from worldmodel_train.config.plain_file import read_plain
from worldmodel_train.config.printable import printable_lines
from worldmodel_train.config.yaml_writer import write_value
from worldmodel_train.data.atomic_file import write_atomically
from worldmodel_train.interop import (
    ALL_PARTS,
    ENCODERS,
    SUFFIX,
    ImportReport,
    Part,
    clip_of_config,
    import_checkpoint,
    import_merged,
    import_moments,
    import_motion,
    method_of_config,
    motion_parts,
)
from worldmodel_train.interop.huggingface import CONFIG, WEIGHTS, weights_in
from worldmodel_train.recipe import Recipe, load_recipe, resolved_yaml
from worldmodel_train.recipe_document import recipe_folders
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.imported import save_imported
from worldmodel_train.training.run_lock import run_lock

IMPORTED = "imported.json"
"""Beside the checkpoints: what they were made of."""
FPS, LONGEST_S = 4.0, 4.0
"""V-JEPA 2's pictures a second, and how long the shipped held-out clips are; more frames than these
give together are taken closer to each other."""
_VIDEO_MASKS = [
    {"name": "multiblock3d", "num_blocks": 8, "spatial_scale": [0.15, 0.15]},
    {"name": "multiblock3d", "num_blocks": 2, "spatial_scale": [0.7, 0.7]},
]
_SMALL_PREDICTOR = {"width": 64, "depth": 1, "heads": 2, "mask_tokens": 1}
"""For files without one, as nothing is to be learned from it."""
_OF_A_PICTURE = ["gaussian_noise", "gaussian_blur", "occlusion", "brightness"]


class Imported(StrictConfig):
    """Of which weights a run directory was made."""

    folder: str
    config_sha256: str
    weights_sha256: str

    @classmethod
    def of(cls, folder: Path) -> "Imported":
        """Those in `folder`, which are read once through."""
        with weights_in(folder).open("rb") as weights:
            digest = hashlib.file_digest(weights, "sha256").hexdigest()
        config = hashlib.sha256((folder / CONFIG).read_bytes()).hexdigest()
        return cls(folder=str(folder.resolve()), config_sha256=config, weights_sha256=digest)

    def same_weights(self, other: "Imported") -> bool:
        """Whether both are of the same files, wherever these lie."""
        ours, theirs = (one.model_dump(exclude={"folder"}) for one in (self, other))
        return ours == theirs


def is_huggingface(path: Path) -> bool:
    """Whether it looks like a folder of transformers, whole or not."""
    return (path / CONFIG).is_file() or (path / WEIGHTS).is_file()


def run_of(folder: Path, out: Path | None) -> Path:
    """The run directory of a Hugging Face folder, imported unless it has been already.

    It is `out`, by default `runs/<folder's name>`. Its recipe has what `config.json` says of the
    model, and the shipped held-out clips at the model's size.

    Raises:
        ValueError: The folder holds no model that can be imported, or the directory another run,
            or another process imports into it.
    """
    recipe = recipe_of(folder)
    run_dir = out or Path("runs") / recipe.name
    imported = Imported.of(folder)
    run_dir.mkdir(parents=True, exist_ok=True)
    if CheckpointFolder(run_dir).last() is None:
        with run_lock(run_dir):
            _import(folder, run_dir, recipe, imported)
    else:
        _require_same(run_dir, imported, folder)
        _say(f"{folder} was imported into {run_dir} before; going on with that")
    return run_dir


def _import(folder: Path, run_dir: Path, recipe: Recipe, imported: Imported) -> None:
    # before the checkpoint: one that is there without it was made of something else
    write_atomically(run_dir / IMPORTED, imported.model_dump_json(indent=2).encode() + b"\n")
    whole = "predictor" in method_of_config(folder)
    report, _ = import_into(run_dir, recipe, folder, parts=ALL_PARTS if whole else ENCODERS)
    _say(report)
    if not whole:
        _say("the predictor is as drawn, since the file has none: tasks of prediction mean nothing")
    _say(f"imported {folder} into {run_dir}, on which all commands work")


def import_into(
    run_dir: Path,
    recipe: Recipe,
    source: Path,
    *,
    parts: Sequence[Part],
    optimizer: bool = False,
) -> tuple[ImportReport | str, Path]:
    """What was loaded of `source`, and the checkpoint at step 0 that has it.

    With `optimizer` it also has the moments of AdamW that the file holds.
    """
    objective = build_objective(recipe)
    assert isinstance(objective, nn.Module)
    report = _load(source, objective, parts)
    folder, state = CheckpointFolder(run_dir), objective.state_dict()
    if not optimizer:
        return report, save_imported(folder, state, resolved_yaml(recipe))
    if not isinstance(report, ImportReport) or parts != ALL_PARTS:
        raise ValueError("--optimizer goes with a whole V-JEPA or I-JEPA of Meta's; leave it out")
    found = import_moments(source, objective)
    _say(found)
    checkpoint = save_imported(
        folder,
        state,
        resolved_yaml(recipe),
        moments={**found.moments},
        optimizer_step=found.step,
    )
    return report, checkpoint


def _load(source: Path, objective: nn.Module, parts: Sequence[Part]) -> ImportReport | str:
    """What was loaded into the objective, of whichever layout the source has."""
    whole, motion = parts == ALL_PARTS, motion_parts(objective)
    if source.suffix == SUFFIX and whole:
        return import_merged(source, objective)
    if motion is None:
        return import_checkpoint(source, objective, parts=parts)
    if whole:
        return import_motion(source, motion)
    raise ValueError("--encoder-only: this model's encoder is another run's; leave it out")


def recipe_of(folder: Path) -> Recipe:
    """A recipe with the model that `config.json` describes; what trains is the demo's."""
    fields, (frames, height, width) = method_of_config(folder), clip_of_config(folder)
    clip = {"frames": frames, "fps": max(FPS, frames / LONGEST_S)}
    shards = "assets:demo/{}/*.tar"
    values: dict[str, object] = {
        "name": re.sub(r"[^A-Za-z0-9_.-]", "_", folder.resolve().name).lstrip("_.-") or "imported",
        "source": f"weights of {folder.resolve()}, and the demo's data",
        "method": _method(fields),
        "data.sources": [{"name": "demo", "shards": shards.format("train"), "clip": clip}],
        "data.held_out": {"name": "held_out", "shards": shards.format("held_out"), "clip": clip},
        "data.augment.size": height if height == width else [height, width],
        "evaluation": [_robustness(frames)],
    }
    demo = recipe_folders()[-1] / "demo.yaml"  # the shipped one, whatever is called so here
    return load_recipe(demo, [f"{key}={write_value(value)}" for key, value in values.items()])


def _method(fields: dict[str, object]) -> dict[str, object]:
    """The method of a V-JEPA 2, an I-JEPA or, by its positions else, a VideoMAE."""
    if "predictor" in fields:
        # the first mask token is the one that V-JEPA 2 trained
        return {"name": "jepa/vjepa", **fields, "masks": _VIDEO_MASKS, "mask_token": "shared"}
    encoder = fields["encoder"]
    assert isinstance(encoder, dict)
    alone = {"encoder": {**encoder, "stream": "fp32"}, "predictor": _SMALL_PREDICTOR}  # as released
    if encoder["position"] == {"name": "sincos2d"}:
        masks = [{"name": "multiblock2d"}]
        return {"name": "jepa/ijepa", **alone, "masks": masks, "residual_init": "plain"}
    return {"name": "jepa/vjepa", **alone, "masks": _VIDEO_MASKS, "mask_token": "shared"}


def _robustness(frames: int) -> dict[str, object]:
    task: dict[str, object] = {"name": "robustness"}
    return task if frames > 1 else {**task, "corruptions": _OF_A_PICTURE}


def _require_same(run_dir: Path, imported: Imported, folder: Path) -> None:
    path = run_dir / IMPORTED
    if path.is_file():
        earlier = parse_model(Imported, read_plain(path, 1 << 16), path)
        if imported.same_weights(earlier):
            return
    raise ValueError(
        f"{run_dir} holds another run than the weights of {folder}; choose another directory by "
        "--out"
    )


def _say(text: object) -> None:
    typer.echo(printable_lines(text, 5000))

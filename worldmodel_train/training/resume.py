"""Where a run starts: at nothing, at its own last checkpoint, or from another run's weights."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import yaml
from torch import nn

from worldmodel_train.config import RecipeError
from worldmodel_train.facts import EpisodeFacts
from worldmodel_train.models.strict_state import CheckpointError, shapes_of
from worldmodel_train.protocols import Objective
from worldmodel_train.training.checkpoints.files import (
    RECIPE,
    read_meta,
    verify_file,
)
from worldmodel_train.training.checkpoints.folder import CheckpointFolder, find_checkpoint
from worldmodel_train.training.checkpoints.init_parts import InitParts, require_teachers
from worldmodel_train.training.checkpoints.restore import StoredState
from worldmodel_train.training.config import InitConfig
from worldmodel_train.training.run_context import RunContext
from worldmodel_train.training.run_spec import RunSpec
from worldmodel_train.types import Content

# What may change when a run is resumed: none of it changes the samples, the model or the loss.
# train.steps is among them because a run is often prolonged; schedules that end with the run move.
_FREE = (
    "source", "run_dir", "checkpoint", "log", "guard", "evaluation", "data.held_out",
    "data.loader.workers", "data.loader.prefetch", "data.loader.max_bad_share",
    "data.loader.stream_timeout_s", "data.loader.stream_retry_s", "data.decoder.timeout_s",
    "data.decoder.memory_mb", "data.kept_mb",
    "train.steps", "train.accelerator", "train.strategy", "train.timeout_s",
    "train.activation_checkpointing", "train.compile", "train.deterministic",
)  # fmt: skip


def find_last(spec: RunSpec) -> Path | None:
    """The checkpoint of this run to resume, None to begin.

    Raises:
        ValueError: `run_dir` holds another recipe's run, or any run when `resume` is never, or
            what it would resume is damaged.
    """
    folder = CheckpointFolder(spec.run_dir)
    last = folder.last()
    if last is None:
        return None
    if spec.resume == "never":
        raise ValueError(
            f"run_dir={spec.run_dir} holds a run already ({last.name}); use --resume auto to go "
            f"on with it, or another run_dir"
        )
    try:
        # a damaged recipe is no other recipe
        verify_file(last, read_meta(last), RECIPE)
    except CheckpointError as error:
        raise CheckpointError(f"{error}. {folder.remedy()}") from None
    try:
        differing = differing_keys(spec.read_recipe(last / RECIPE), spec.recipe_yaml)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecipeError) as error:
        raise CheckpointError(
            f"{last / RECIPE} cannot be read: {error}. {folder.remedy()}"
        ) from error
    if differing:
        raise ValueError(
            f"run_dir={spec.run_dir} holds a run of another recipe; use another run_dir, or undo:"
            "\n  " + "\n  ".join(differing)
        )
    return last


def stored_state(
    last: Path, objective: nn.Module, frozen: Mapping[str, str], episodes: EpisodeFacts | None
) -> StoredState:
    """What a checkpoint of the same frozen part and kind of episodes holds.

    Raises:
        CheckpointError: It is of others.
    """
    stored = StoredState(last, shapes_of(objective.state_dict()), moments=True)
    stored.require_frozen(frozen)
    stored.require_episodes(episodes)
    return stored


def go_on(context: RunContext, stored: StoredState) -> None:
    """Lets what watches, acts and probes go on from where the checkpoint left it."""
    context.guard.load(stored.guard)
    context.alarms.load(stored.alarms)
    if context.collector is not None:
        context.collector.resume(stored.step, stored.collected)
    if context.online_probe is not None:
        context.online_probe.load(stored.online_probe())


def differing_keys(old_yaml: str, new_yaml: str) -> list[str]:
    """Lines `key: old -> new` for all keys that may not differ between starts of one run."""
    old, new = (dict(_flatten(yaml.safe_load(text))) for text in (old_yaml, new_yaml))
    absent = "absent"
    return [
        f"{key}: {old.get(key, absent)} -> {new.get(key, absent)}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key, absent) != new.get(key, absent) and not _is_free(key)
    ]


def said(init: InitConfig | None) -> str | None:
    """What a run begins from, for the log."""
    if init is None:
        return None
    parts = [f"{name}: {part.part} of {part.checkpoint}" for name, part in init.parts.items()]
    return str(init.checkpoint or ", ".join(parts))


def first_weights(init: InitConfig | None, objective: nn.Module) -> StoredState | InitParts | None:
    """What a new run begins from; None where all weights are drawn."""
    if init is None:
        return None
    shapes = shapes_of(objective.state_dict())
    if init.checkpoint is not None:
        checkpoint = find_checkpoint(init.checkpoint, "train.init.checkpoint")
        return StoredState(checkpoint, shapes, moments=bool(init.optimizer))
    require_teachers(init.parts, cast("Objective[Content]", objective))
    return InitParts(init.parts, shapes)


def _is_free(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in _FREE)


def _flatten(tree: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(tree, Mapping) and tree:
        for key, value in tree.items():
            yield from _flatten(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, tree

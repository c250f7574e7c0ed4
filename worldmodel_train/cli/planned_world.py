"""Whether goals are asked for in the world that a run's episodes were collected in."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from worldmodel_train.collection.made_of import MadeOf, read_made_of
from worldmodel_train.data.shards.resolve import resolve_shards
from worldmodel_train.data.trajectories.config import TrajectoriesConfig
from worldmodel_train.evaluation.tasks import planning

if TYPE_CHECKING:
    from worldmodel_train.recipe import Recipe

_log = logging.getLogger(__name__)


def require_the_world_of_the_episodes(recipe: "Recipe") -> None:
    """Looks at what folders of episodes say of themselves, where the recipe plans.

    Raises:
        ValueError: They were collected in another world.
    """
    tasks = [task for task in recipe.evaluation or () if isinstance(task, planning.Config)]
    if not (tasks and isinstance(recipe.data, TrajectoriesConfig)):
        return
    for source in recipe.data.sources:
        if source.streams:
            continue
        for folder in sorted({Path(shard).parent for shard in resolve_shards(source)}):
            made_of = read_made_of(folder)
            if made_of is not None:
                for task in tasks:
                    _require_world(task, folder, made_of)


def _require_world(task: planning.Config, folder: Path, made_of: MadeOf) -> None:
    if made_of.env != task.env:
        raise ValueError(
            f"planning.env={task.env}, and the episodes in {folder} were collected in "
            f"{made_of.env}; plan there, with planning.options={made_of.options} as far as they "
            "change what is seen"
        )
    if made_of.options != dict(task.options):
        _log.warning(
            "planning.options=%s, and the episodes in %s were collected with %s: pictures may "
            "differ from those that were learned from",
            dict(task.options),
            folder,
            made_of.options,
        )

"""Composes a recipe's parts: what training and evaluation take, made from what a recipe says."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from worldmodel_train.batch import Batch
from worldmodel_train.cli.objectives import build_objective
from worldmodel_train.cli.step_cost import step_cost
from worldmodel_train.collection.collector import Collector
from worldmodel_train.collection.config import CollectedConfig
from worldmodel_train.data.health import SkipLedger
from worldmodel_train.data.loader_position import LoaderPosition
from worldmodel_train.data.preparation import as_read
from worldmodel_train.data.stream_positions import StreamState
from worldmodel_train.facts import DataFacts
from worldmodel_train.probes.online import OnlineProbe
from worldmodel_train.recipe import Recipe, load_stored_recipe, resolved_yaml
from worldmodel_train.training.config import TrainConfig
from worldmodel_train.training.run_spec import RunSpec
from worldmodel_train.types import Content

PICTURED_CLIPS = 4


def pretrain_parts(recipe: Recipe, resume: str, *, profile_steps: int | None = None) -> RunSpec:
    """What training needs of a recipe; weights and data are loaded when training asks for them."""
    assert resume in ("auto", "never")
    opened = cache(recipe.data.open_facts)
    source = _source(recipe, opened)
    return RunSpec(
        build_objective=lambda: build_objective(recipe, opened()),
        build_loader=_LoaderFactory(recipe.train, source.batches),
        load_pictures=None if recipe.log.image_every is None else lambda: _pictured(recipe),
        ledger=SkipLedger(max_bad_share=source.max_bad_share),
        train=recipe.train,
        optim=recipe.optim,
        checkpoint=recipe.checkpoint,
        log=recipe.log,
        guard=recipe.guard,
        recipe_yaml=resolved_yaml(recipe),
        open_episodes=lambda: opened().episodes,
        read_recipe=lambda path: resolved_yaml(load_stored_recipe(path)),
        run_dir=recipe.run_path,
        cost=lambda: step_cost(recipe, opened),
        collector=source.collector,
        online_probe=_online_probe(recipe),
        resume=resume,
        profile_steps=profile_steps,
    )


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Where a run's batches come from."""

    batches: Callable[[LoaderPosition], Iterable[Batch[Any]]]
    max_bad_share: float
    """Of samples."""
    collector: Collector | None = None
    """What acts while the run trains, where the batches are of what it has acted out."""


def _source(recipe: Recipe, opened: Callable[[], DataFacts]) -> _Source:
    data, preparation = recipe.data, recipe.method.preparation()
    if isinstance(data, CollectedConfig):
        collector = data.collector(recipe.run_path, seed=recipe.train.seed)
        return _Source(
            batches=partial(collector.batches, preparation or as_read),
            max_bad_share=0.0,  # what a run has acted out itself has nothing to skip
            collector=collector,
        )
    return _Source(
        batches=lambda position: data.build_loader(preparation, position, opened()),
        max_bad_share=data.loader.max_bad_share,
    )


@dataclass(frozen=True)
class _LoaderFactory:
    train: TrainConfig
    batches: Callable[[LoaderPosition], Iterable[Batch[Any]]]

    def __call__(
        self, *, rank: int, world_size: int, first_step: int, streams: StreamState | None = None
    ) -> Iterable[Batch[Content]]:
        position = LoaderPosition(
            seed=self.train.seed,
            rank=rank,
            world_size=world_size,
            micro_batch=self.train.micro_batch,
            global_batch=self.train.global_batch,
            first_step=first_step,
            streams=streams,
        )
        return self.batches(position)


def _online_probe(recipe: Recipe) -> OnlineProbe | None:
    if recipe.log.online_probe is None:
        return None
    classes = recipe.facts.data.classes
    assert classes is not None, "the recipe was checked for them"
    return OnlineProbe(len(classes))


def _pictured(recipe: Recipe) -> Content:
    prepare = recipe.method.preparation() or as_read
    clips = recipe.data.held_out_content(PICTURED_CLIPS)
    return prepare([clips], seed=recipe.train.seed, step=0)

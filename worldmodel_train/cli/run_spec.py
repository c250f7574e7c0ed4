"""Composes a recipe's parts: what training and evaluation take, made from what a recipe says."""

from collections.abc import Callable, Iterable
from functools import cache

from worldmodel_train.cli.objectives import build_objective
from worldmodel_train.collection.collector import Collector
from worldmodel_train.collection.config import CollectedConfig
from worldmodel_train.data.health import SkipLedger
from worldmodel_train.data.loader import LoaderPosition
from worldmodel_train.data.preparation import as_read
from worldmodel_train.data.stream_positions import StreamState
from worldmodel_train.facts import DataFacts
from worldmodel_train.recipe import Recipe, load_stored_recipe, resolved_yaml
from worldmodel_train.training.run_spec import RunSpec
from worldmodel_train.types import Batch, Content

PICTURED_CLIPS = 4


def pretrain_parts(recipe: Recipe, resume: str, *, profile_steps: int | None = None) -> RunSpec:
    """What training needs of a recipe; weights and data are loaded when training asks for them."""
    assert resume in ("auto", "never")
    opened = cache(recipe.data.open_facts)
    data, collector = recipe.data, None
    if isinstance(data, CollectedConfig):
        collector = data.collector(recipe.run_path, seed=recipe.train.seed)
    return RunSpec(
        build_objective=lambda: build_objective(recipe, opened()),
        build_loader=_LoaderFactory(recipe, opened, collector),
        load_pictures=None if recipe.log.image_every is None else lambda: _pictured(recipe),
        ledger=SkipLedger(
            # what a run has acted out itself has nothing to skip
            max_bad_share=0.0 if isinstance(data, CollectedConfig) else data.loader.max_bad_share
        ),
        train=recipe.train,
        optim=recipe.optim,
        checkpoint=recipe.checkpoint,
        log=recipe.log,
        guard=recipe.guard,
        recipe_yaml=resolved_yaml(recipe),
        open_episodes=lambda: opened().episodes,
        read_recipe=lambda path: resolved_yaml(load_stored_recipe(path)),
        run_dir=recipe.run_path,
        cost=recipe.method.cost(recipe.facts),
        collector=collector,
        resume=resume,
        profile_steps=profile_steps,
    )


class _LoaderFactory:
    def __init__(
        self, recipe: Recipe, opened: Callable[[], DataFacts], collector: Collector | None
    ) -> None:
        self._recipe = recipe
        self._opened = opened
        self._collector = collector

    def __call__(
        self, *, rank: int, world_size: int, first_step: int, streams: StreamState | None = None
    ) -> Iterable[Batch[Content]]:
        train = self._recipe.train
        position = LoaderPosition(
            seed=train.seed,
            rank=rank,
            world_size=world_size,
            micro_batch=train.micro_batch,
            global_batch=train.global_batch,
            first_step=first_step,
            streams=streams,
        )
        data, preparation = self._recipe.data, self._recipe.method.preparation()
        if isinstance(data, CollectedConfig):
            assert self._collector is not None
            return self._collector.batches(preparation or as_read, position)
        return data.build_loader(preparation, position, self._opened())


def _pictured(recipe: Recipe) -> Content:
    prepare = recipe.method.preparation() or as_read
    clips = recipe.data.held_out_content(PICTURED_CLIPS)
    return prepare([clips], seed=recipe.train.seed, step=0)

"""Composes a recipe's parts: what training and evaluation take, made from what a recipe says."""

from collections.abc import Iterable
from dataclasses import replace

from worldmodel_train.data.config import SourceConfig
from worldmodel_train.data.fixed import FixedClips, load_clips
from worldmodel_train.data.health import SkipLedger
from worldmodel_train.data.loader import LoaderPosition, build_loader
from worldmodel_train.data.preparation import as_read
from worldmodel_train.data.stream_positions import StreamState
from worldmodel_train.protocols import Objective, Preparation
from worldmodel_train.recipe import Recipe, load_stored_recipe, resolved_yaml
from worldmodel_train.training.parts import PretrainParts
from worldmodel_train.training.randomness import seed_weights
from worldmodel_train.types import Batch, Clips, Content

PICTURED_CLIPS = 4


def pretrain_parts(
    recipe: Recipe, resume: str, *, profile_steps: int | None = None
) -> PretrainParts:
    """What training needs of a recipe; weights and data are loaded when training asks for them."""
    assert resume in ("auto", "never")
    pictured = recipe.data.held_out if recipe.log.image_every is not None else None
    return PretrainParts(
        build_objective=recipe.method.build,
        build_loader=_LoaderFactory(recipe),
        load_pictures=None if pictured is None else lambda: _pictured(recipe, pictured),
        ledger=SkipLedger(max_bad_share=recipe.data.loader.max_bad_share),
        train=recipe.train,
        optim=recipe.optim,
        checkpoint=recipe.checkpoint,
        log=recipe.log,
        guard=recipe.guard,
        recipe_yaml=resolved_yaml(recipe),
        read_recipe=lambda path: resolved_yaml(load_stored_recipe(path)),
        run_dir=recipe.run_path,
        cost=recipe.method.cost(recipe.facts),
        resume=resume,
        profile_steps=profile_steps,
    )


def untrained_objective(recipe: Recipe) -> Objective:
    """The objective with the weights that a run of this recipe starts from."""
    seed_weights(recipe.train.seed)
    return recipe.method.build()


def held_out_clips(
    recipe: Recipe, source: SourceConfig, *, limit: int, clips_per_video: int
) -> FixedClips:
    """Centre-cropped clips of a source, in the order of its shards."""
    loaded = load_clips(
        source,
        size=recipe.data.augment.size,
        limit=limit,
        decoder=recipe.data.decoder,
        clips_per_video=clips_per_video,
    )
    return replace(loaded, length_index=recipe.data.length_index(source.clip.frames))


class _LoaderFactory:
    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

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
        return build_loader(self._recipe.data, _preparation(self._recipe), position=position)


def _pictured(recipe: Recipe, source: SourceConfig) -> Content:
    held_out = held_out_clips(recipe, source, limit=PICTURED_CLIPS, clips_per_video=1)
    clips = Clips(
        pixels=held_out.clips,
        samples=tuple(range(len(held_out.clips))),
        length_index=held_out.length_index,
    )
    return _preparation(recipe)([clips], seed=recipe.train.seed, step=0)


def _preparation(recipe: Recipe) -> Preparation[Content]:
    return recipe.method.preparation() or as_read

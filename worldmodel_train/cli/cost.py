"""What a recipe costs: parameters, tokens, operations."""

from collections.abc import Iterable
from dataclasses import dataclass

from worldmodel_train.masks.draw import group_seed
from worldmodel_train.models.flops import (
    ClipCost,
    Flops,
    MaskTokens,
    clip_cost,
    encoder_parameters,
    model_flops,
    predictor_parameters,
)
from worldmodel_train.recipe import Recipe
from worldmodel_train.types import TokenGrid

NUM_DRAWS = 32
"""Batches whose masks are drawn to find the mean number of tokens."""


@dataclass(frozen=True, kw_only=True)
class ClipLength:
    """Clips of one length: their share of the samples, their tokens and what they cost."""

    frames: int
    share: float
    grid: TokenGrid
    masks: tuple[tuple[MaskTokens, ...], ...]
    """For each mask group, the tokens of each draw."""
    cost: ClipCost


@dataclass(frozen=True, kw_only=True)
class RecipeCost:
    """The cost of a run, counted from its recipe."""

    encoder_parameters: int
    predictor_parameters: int
    lengths: tuple[ClipLength, ...]
    clips: int
    """Clips over the whole run."""

    @property
    def clip(self) -> ClipCost:
        """The mean over clip lengths."""
        weighed = [(length.cost, length.share) for length in self.lengths]
        return _mean(weighed)

    @property
    def run_flops(self) -> float:
        """Operations of the whole run."""
        return self.clip.total.total * self.clips


def recipe_cost(recipe: Recipe) -> RecipeCost:
    """The cost of a joint-embedding recipe, with masks as this recipe draws them.

    Activation checkpointing that is `auto` counts as none, which is the floor.
    """
    encoder, predictor = recipe.method.encoder, recipe.method.predictor
    total_weight = sum(source.weight for source in recipe.data.sources)
    shares: dict[int, float] = {}
    for source in recipe.data.sources:
        frames = source.clip.frames
        shares[frames] = shares.get(frames, 0.0) + source.weight / total_weight
    return RecipeCost(
        encoder_parameters=encoder_parameters(encoder),
        predictor_parameters=predictor_parameters(predictor, encoder),
        lengths=tuple(_length(recipe, frames, share) for frames, share in shares.items()),
        clips=recipe.train.steps * recipe.train.global_batch,
    )


def model_flops_per_clip(recipe: Recipe) -> float:
    """Operations of the model in a step, by which MFU is measured; the mean over drawn masks."""
    encoder, predictor = recipe.method.encoder, recipe.method.predictor
    return sum(
        length.share
        / NUM_DRAWS
        * model_flops(encoder, predictor, tokens=length.grid.num_tokens, masks=masks)
        for length in recipe_cost(recipe).lengths
        for masks in zip(*length.masks, strict=True)
    )


def _length(recipe: Recipe, frames: int, share: float) -> ClipLength:
    encoder, side = recipe.method.encoder, recipe.data.augment.size // recipe.method.encoder.patch
    policy = recipe.train.activation_checkpointing
    grid = TokenGrid(frames // encoder.tubelet, side, side)
    masks = tuple(tuple(_draws(group, grid, recipe)) for group in range(len(recipe.masks)))
    costs = [
        clip_cost(
            encoder,
            recipe.method.predictor,
            tokens=grid.num_tokens,
            masks=drawn,
            checkpointing="none" if policy == "auto" else policy,
        )
        for drawn in zip(*masks, strict=True)
    ]
    cost = _mean((cost, 1 / NUM_DRAWS) for cost in costs)
    return ClipLength(frames=frames, share=share, grid=grid, masks=masks, cost=cost)


def _draws(group: int, grid: TokenGrid, recipe: Recipe) -> Iterable[MaskTokens]:
    """Tokens of one clip in each of some batches of `micro_batch` clips, padding included."""
    mask, seed, size = recipe.masks[group], recipe.train.seed, recipe.train.micro_batch
    for step in range(NUM_DRAWS):
        samples = range(step * size, (step + 1) * size)
        drawn = mask.sample(grid, seed=group_seed(seed, group), step=step, samples=samples)
        sets, target = drawn.target_index.shape[1:]
        yield MaskTokens(drawn.context_index.shape[1], target, sets)


def _mean(weighed: Iterable[tuple[ClipCost, float]]) -> ClipCost:
    target, context, predictor = Flops(), Flops(), Flops()
    for cost, weight in weighed:
        target = target.plus(cost.target_forward.times(weight))
        context = context.plus(cost.context.times(weight))
        predictor = predictor.plus(cost.predictor.times(weight))
    return ClipCost(target_forward=target, context=context, predictor=predictor)

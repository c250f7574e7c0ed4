"""How many tokens masks show and hide: those of some steps, drawn as a recipe will draw them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from worldmodel_train.facts import ClipShape, RecipeFacts
from worldmodel_train.masks.draw import group_seed
from worldmodel_train.models.cost import CostTable
from worldmodel_train.models.flops import Flops, MaskTokens, total
from worldmodel_train.protocols import MaskSampler
from worldmodel_train.types import TokenGrid

NUM_DRAWS = 32
"""Batches whose masks are drawn to find the mean number of tokens."""


@dataclass(frozen=True, kw_only=True)
class ClipLength:
    """Clips of one length: their share of the samples, and their tokens."""

    frames: int
    share: float
    together: int
    """So many are masked together."""
    grid: TokenGrid
    masks: tuple[tuple[MaskTokens, ...], ...]
    """For each mask group, the tokens of each draw."""

    @property
    def draws(self) -> Iterator[tuple[MaskTokens, ...]]:
        """For each draw, the tokens of all mask groups."""
        return zip(*self.masks, strict=True)


def clip_lengths(
    masked: Callable[[ClipShape], tuple[TokenGrid, Sequence[MaskSampler]]], facts: RecipeFacts
) -> tuple[ClipLength, ...]:
    """Clips of each length, whose tokens and mask groups `masked` says."""
    shapes: dict[int, tuple[ClipShape, float]] = {}
    for clip, share in facts.data.shares.items():
        _, before = shapes.get(clip.frames, (clip, 0.0))
        shapes[clip.frames] = clip, before + share
    return tuple(
        ClipLength(
            frames=clip.frames,
            share=share,
            together=facts.together(clip.frames),
            grid=masked(clip)[0],
            masks=drawn_tokens(
                *masked(clip),
                range(NUM_DRAWS),
                together=facts.together(clip.frames),
                seed=facts.seed,
            ),
        )
        for clip, share in shapes.values()
    )


def drawn_tokens(
    grid: TokenGrid,
    samplers: Sequence[MaskSampler],
    steps: Iterable[int],
    *,
    together: int,
    seed: int,
) -> tuple[tuple[MaskTokens, ...], ...]:
    """For each mask group, the tokens of one of `together` clips in these steps, with padding."""
    return tuple(
        tuple(_tokens(sampler, grid, together, group_seed(seed, group), step) for step in steps)
        for group, sampler in enumerate(samplers)
    )


def _tokens(
    sampler: MaskSampler, grid: TokenGrid, together: int, seed: int, step: int
) -> MaskTokens:
    samples = range(step * together, (step + 1) * together)
    drawn = sampler.sample(grid, seed=seed, step=step, samples=samples)
    sets, target = drawn.target_index.shape[1:]
    return MaskTokens(drawn.context_index.shape[1], target, sets)


def mean_flops(
    lengths: Sequence[ClipLength], of: Callable[[ClipLength, Sequence[MaskTokens]], Flops]
) -> Flops:
    """The mean of what clips of a length and the masks of all groups cost, over lengths and draws.

    Every length was drawn as often.
    """
    return total(
        of(length, masks).times(length.share / len(length.masks[0]))
        for length in lengths
        for masks in length.draws
    )


def masked_flops(
    lengths: Sequence[ClipLength],
    *,
    target: Callable[[ClipLength], Flops],
    context: Callable[[ClipLength, int], Flops],
    predictor: Callable[[MaskTokens], Flops],
) -> dict[str, Flops]:
    """Of a joint-embedding step, from what its networks cost on one clip.

    `target` sees all tokens and learns nothing. `context` on so many tokens and `predictor` on the
    tokens of a mask group are counted with their backward pass.
    """
    return {
        "targets, forward": mean_flops(lengths, lambda length, _: target(length)),
        "context, forward + backward": mean_flops(
            lengths, lambda length, masks: total(context(length, mask.context) for mask in masks)
        ),
        "predictor, forward + backward": mean_flops(
            lengths, lambda _, masks: total(map(predictor, masks))
        ),
    }


def token_table(lengths: Sequence[ClipLength]) -> CostTable:
    """The tokens of a clip."""
    title = "Tokens per clip, masks of so many clips together"
    columns = ("frames", "share", "together", "tokens", "masks", "context", "targets")
    rows = [row for length in lengths for row in _token_rows(length)]
    return CostTable(title=title, columns=columns, rows=rows)


def _token_rows(length: ClipLength) -> Iterator[Sequence[str]]:
    everything = length.grid.num_tokens

    def tokens(of: Callable[[MaskTokens], int], draws: Sequence[MaskTokens]) -> str:
        mean = sum(map(of, draws)) / len(draws)
        return f"{mean:,.0f} ({mean / everything:.1%})"

    for index, draws in enumerate(length.masks):
        sets = f"{draws[0].sets} x " if draws[0].sets > 1 else ""
        yield (
            str(length.frames),
            f"{length.share:.1%}",
            str(length.together),
            f"{everything:,} ({'x'.join(map(str, length.grid))})",
            str(index),
            tokens(lambda draw: draw.context, draws),
            sets + tokens(lambda draw: draw.target, draws),
        )

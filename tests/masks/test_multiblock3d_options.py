"""The released sampler's options, against its rules carried out one token at a time."""

import itertools

import pytest
import torch
from pydantic import ValidationError

from worldmodel_train.masks import Multiblock3D
from worldmodel_train.types import TokenGrid

GRID = TokenGrid(4, 8, 8)
BATCH = range(30, 36)


def counted(index, valid):
    """Ids of each row that count."""
    rows = index.flatten(1).tolist()
    if valid is None:
        return rows
    flags = valid.flatten(1).tolist()
    return [[i for i, ok in zip(*row, strict=True) if ok] for row in zip(rows, flags, strict=True)]


def drawn(sampler):
    """What is seen and what is predicted."""
    masks = sampler.sample(GRID, seed=5, step=3, samples=BATCH)
    seen = counted(masks.context_index, masks.context_valid)
    return seen, counted(masks.target_index, masks.target_valid)


def released(rest, blocks, *, max_keep, cut_tokens, predict):
    """What the released code makes of sorted ids: cut both, complement one, swap."""
    kept = min(*map(len, rest), max_keep or GRID.num_tokens)
    rest = [ids[:kept] for ids in rest]
    blocks = [ids[: min(map(len, blocks))] for ids in blocks]
    everything = range(GRID.num_tokens)
    if cut_tokens == "blocks":
        blocks = [[i for i in everything if i not in ids] for ids in rest]
    if cut_tokens == "rest":
        rest = [[i for i in everything if i not in ids] for ids in blocks]
    return (rest, blocks) if predict == "blocks" else (blocks, rest)


OPTIONS = [
    {"max_keep": max_keep, "cut_tokens": cut_tokens, "predict": predict}
    for max_keep, cut_tokens, predict in itertools.product(
        (None, 20, 10_000), ("neither", "blocks", "rest"), ("blocks", "rest")
    )
    if cut_tokens != "rest" or max_keep is None
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_late_masks_are_those_of_the_released_rules(options):
    rest, blocks = drawn(Multiblock3D(num_blocks=3, truncate="none"))
    expected = released(rest, blocks, **options)
    assert drawn(Multiblock3D(num_blocks=3, truncate="late", **options)) == expected


@pytest.mark.parametrize("truncate", ["late", "random", "none"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_nothing_is_seen_and_predicted_and_what_was_cut_is_where_the_option_says(truncate, options):
    context, target = drawn(Multiblock3D(num_blocks=3, truncate=truncate, **options))
    whole = drawn(Multiblock3D(num_blocks=3, truncate="none"))
    for row, (seen, hidden) in enumerate(zip(context, target, strict=True)):
        ids = sorted(seen + hidden)
        assert len(set(ids)) == len(ids)
        if options["cut_tokens"] != "neither":
            assert ids == list(range(GRID.num_tokens))
        rest, blocks = (seen, hidden) if options["predict"] == "blocks" else (hidden, seen)
        if options["cut_tokens"] != "rest":
            assert set(rest) <= set(whole[0][row])
            assert len(rest) <= (options["max_keep"] or GRID.num_tokens)
        if options["cut_tokens"] != "blocks":
            assert set(blocks) <= set(whole[1][row])


@pytest.mark.parametrize("share", [0.5, 0.6, 0.1])
def test_the_rest_is_within_the_first_frames(share):
    frames = max(1, int(GRID.frames * share))
    plain, bounded = (
        drawn(Multiblock3D(num_blocks=3, truncate="none", max_temporal_keep=kept))
        for kept in (1.0, share)
    )
    early = [[i for i in ids if i < frames * 64] for ids in plain[0]]
    assert bounded[0] == early
    late = [set(range(GRID.num_tokens)) - set(ids) for ids in early]
    assert [set(ids) for ids in bounded[1]] == late


@pytest.mark.parametrize("truncate", ["random", "none"])
def test_what_exceeds_max_keep_is_dropped_without_a_bias(truncate):
    """Of a rest of 48 ids 12 are kept; each as often, within 5 standard deviations."""
    sampler = Multiblock3D(
        num_blocks=1,
        spatial_scale=(0.25, 0.25),
        aspect_ratio=(1.0, 1.0),
        truncate=truncate,
        max_keep=12,
    )
    masks = sampler.sample(TokenGrid(1, 8, 8), seed=0, step=0, samples=range(4000))
    assert masks.context_valid is None
    assert masks.context_index.shape == (4000, 12)
    outside = torch.ones(4000, 64).scatter_(1, masks.target_index[:, 0], 0.0)
    number_among_the_rest = (outside.cumsum(dim=1) - 1).gather(1, masks.context_index)
    share = torch.bincount(number_among_the_rest.flatten().long(), minlength=48) / 4000
    assert (share - 0.25).abs().max() < 5 * (0.25 * 0.75 / 4000) ** 0.5


def test_max_keep_holds_beside_a_multiple():
    sampler = Multiblock3D(max_keep=50, multiple=16, cut_tokens="blocks")
    masks = sampler.sample(GRID, seed=0, step=0, samples=BATCH)
    assert masks.context_index.shape[1] == 48
    assert masks.target_index.shape[2] == GRID.num_tokens - 48


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_keep": 5, "cut_tokens": "rest"}, "use cut_tokens=blocks, or leave max_keep out"),
        ({"max_keep": 0}, "greater than or equal to 1"),
        ({"max_temporal_keep": 0.0}, "greater than 0"),
        ({"predict": "context"}, "'blocks' or 'rest'"),
        ({"cut_tokens": "all"}, "'neither', 'blocks' or 'rest'"),
    ],
)
def test_options_that_cannot_be_met_are_refused(options, words):
    with pytest.raises(ValidationError, match=words):
        Multiblock3D(**options)

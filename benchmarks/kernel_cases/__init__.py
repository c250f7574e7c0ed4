"""The operations that are timed. To add one, write a function that makes its cases, and list it."""

from collections.abc import Callable, Iterator, Sequence

import torch

from benchmarks.kernel_cases.attention import factorized_cases, frame_causal_cases, ragged_cases
from benchmarks.kernel_cases.case import Bench, Case
from benchmarks.kernel_cases.rope import rope_cases
from benchmarks.kernel_cases.tubelet_mask import tubelet_mask_cases

CASES: Sequence[Callable[[Bench], Iterator[Case]]] = (
    tubelet_mask_cases,
    rope_cases,
    factorized_cases,
    frame_causal_cases,
    ragged_cases,
)


def make_cases(bench: Bench) -> Iterator[Case]:
    """All cases, one after the other, so that one at a time is in memory."""
    for make in CASES:
        torch.manual_seed(0)
        yield from make(bench)

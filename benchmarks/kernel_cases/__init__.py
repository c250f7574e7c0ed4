"""The operations that are timed. To add one, write a function that makes its case, and list it."""

from collections.abc import Callable, Mapping
from functools import partial

import torch

from benchmarks.kernel_cases.attention import factorized_case, frame_causal_case, ragged_case
from benchmarks.kernel_cases.case import Bench, Case
from benchmarks.kernel_cases.rope import rope_case
from benchmarks.kernel_cases.tubelet_mask import tubelet_mask_case

CASES: Mapping[str, Callable[[Bench], Case]] = {
    "tubelet_mask, 25 % kept": partial(tubelet_mask_case, percent=25),
    "tubelet_mask, 100 % kept": partial(tubelet_mask_case, percent=100),
    "rope": rope_case,
    "space_attention": partial(factorized_case, op="space_attention"),
    "time_attention": partial(factorized_case, op="time_attention"),
    "time_attention, causal": partial(factorized_case, op="time_attention, causal"),
    "frame_causal_attention": frame_causal_case,
    "ragged_attention": ragged_case,
}
"""By name."""


def make_case(name: str, bench: Bench) -> Case:
    """The case of this name, from the same random numbers each time."""
    torch.manual_seed(0)
    return CASES[name](bench)

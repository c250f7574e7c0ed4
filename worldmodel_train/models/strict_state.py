"""Strict comparison of what a file holds with what a model needs."""

from collections.abc import Mapping, Sequence

from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]

MAX_LINES = 8
"""Tensors named for each kind of difference; a wrong depth alone can differ in hundreds."""


class CheckpointError(ValueError):
    """A checkpoint cannot be read or written; the message says which one, why, and what to do."""


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor; of a module, asked before a strategy cuts it up."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def differences(expected: Shapes, found: Shapes) -> list[str]:
    """What is missing, extra and mis-shaped in `found`, a paragraph each; empty if they agree."""
    missing = [f"{name} {_dims(expected[name])}" for name in expected if name not in found]
    extra = [f"{name} {_dims(found[name])}" for name in found if name not in expected]
    misshaped = [
        f"{name}: file has {_dims(found[name])}, model needs {_dims(expected[name])}"
        for name in expected
        if name in found and tuple(found[name]) != tuple(expected[name])
    ]
    paragraphs = {"missing": missing, "extra": extra, "mis-shaped": misshaped}
    return [_paragraph(title, lines) for title, lines in paragraphs.items() if lines]


def refuse_differences(source: str, paragraphs: Sequence[str]) -> None:
    """Raise an error made of `paragraphs`, unless there are none."""
    if paragraphs:
        raise CheckpointError(
            f"{source} does not fit the model (is the recipe's encoder or predictor size, patch, "
            "tubelet or mask_tokens another?)\n" + "\n".join(paragraphs)
        )


def _paragraph(title: str, lines: Sequence[str]) -> str:
    rest = len(lines) - MAX_LINES
    shown = [f"    {line}" for line in lines[:MAX_LINES]]
    if rest > 0:
        shown.append(f"    ... and {rest} more")
    return "\n".join([f"  {title} ({len(lines)}):", *shown])


def _dims(shape: Sequence[int]) -> str:
    return "x".join(str(size) for size in shape) or "scalar"

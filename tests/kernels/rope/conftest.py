from dataclasses import dataclass, replace

import pytest
import torch

from worldmodel_kernels.rope.reference import rope_reference


@dataclass(frozen=True)
class Case:
    """Arguments of the op, and gradients for its results."""

    qkv: torch.Tensor
    cos: torch.Tensor
    sin: torch.Tensor
    gradients: tuple[torch.Tensor, ...]

    def run(self, op):
        """Queries, keys, values, gradient of qkv."""
        qkv = self.qkv.detach().requires_grad_()
        heads = op(qkv, self.cos, self.sin)
        return *heads, *torch.autograd.grad(heads, qkv, self.gradients)

    def cuda(self):
        """The same case on the GPU."""
        return Case(*(x.cuda() for x in (self.qkv, self.cos, self.sin)), self._gradients("cuda"))

    def to(self, dtype):
        """The same case with heads of another dtype."""
        return replace(self, qkv=self.qkv.to(dtype), gradients=self._gradients(dtype))

    def _gradients(self, target):
        return tuple(x.to(target) for x in self.gradients)


def _make_case(*, batch=2, tables=2, tokens=5, heads=3, width=32):
    """Tables of independent numbers: no rotation, so that no two entries can be confused."""
    options = {"generator": torch.Generator().manual_seed(0)}
    return Case(
        qkv=torch.randn(batch, tokens, 3, heads, width, **options),
        cos=torch.randn(tables, tokens, width, **options),
        sin=torch.randn(tables, tokens, width, **options),
        gradients=tuple(torch.randn(3, batch, tokens, heads, width, **options)),
    )


@dataclass(frozen=True)
class Groups:
    """Packed heads of several groups, and gradients for those that are taken out."""

    qkv: torch.Tensor
    shapes: list[tuple[int, int]]
    tables: list[tuple[torch.Tensor, torch.Tensor]] | None
    gradients: list[torch.Tensor]

    def run(self, op):
        """Queries, keys and values of each group; the gradient of all."""
        qkv = self.qkv.detach().requires_grad_()
        heads = [one for group in op(qkv, self.shapes, self.tables) for one in group]
        return heads, torch.autograd.grad(heads, qkv, self.gradients)[0]

    def to(self, target):
        """The same with heads of another dtype, or all of it on another device."""
        moved = replace(
            self, qkv=self.qkv.to(target), gradients=[x.to(target) for x in self.gradients]
        )
        if self.tables is None or isinstance(target, torch.dtype):
            return moved
        return replace(moved, tables=[(cos.to(target), sin.to(target)) for cos, sin in self.tables])

    @staticmethod
    def by_definition(qkv, shapes, tables):
        """Taken apart by split and unbind, turned by the reference."""
        parts = qkv.split([rows * tokens for rows, tokens in shapes])
        views = [part.unflatten(0, shape) for part, shape in zip(parts, shapes, strict=True)]
        if tables is None:
            return [view.unbind(2) for view in views]
        return [rope_reference(view, *pair) for view, pair in zip(views, tables, strict=True)]


def _make_groups(*, turned=True, heads=3, width=8):
    shapes, options = [(2, 5), (3, 4)], {"generator": torch.Generator().manual_seed(0)}
    # one table for all rows of the first group
    sizes = [(1, 5, width), (3, 4, width)]
    return Groups(
        qkv=torch.randn(22, 3, heads, width, **options),
        shapes=shapes,
        tables=[tuple(torch.randn(2, *size, **options)) for size in sizes] if turned else None,
        gradients=[
            torch.randn(*shape, heads, width, **options) for shape in shapes for _ in range(3)
        ],
    )


@pytest.fixture(scope="session")
def make_groups():
    return _make_groups


@pytest.fixture(scope="session")
def make_case():
    return _make_case

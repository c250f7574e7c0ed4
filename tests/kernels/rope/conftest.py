from dataclasses import dataclass, replace

import pytest
import torch


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


@pytest.fixture(scope="session")
def make_case():
    return _make_case

from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch

from worldmodel_kernels.factorized_attention import space_attention, time_attention
from worldmodel_kernels.factorized_attention.reference import (
    space_attention_reference,
    time_attention_reference,
)

OPS = {
    "space": (space_attention, space_attention_reference),
    "time": tuple(partial(x, causal=False) for x in (time_attention, time_attention_reference)),
    "past": tuple(partial(x, causal=True) for x in (time_attention, time_attention_reference)),
}


@pytest.fixture(params=OPS)
def name(request):
    """Which tokens see each other: a frame's, a place's, or a place's past ones."""
    return request.param


@pytest.fixture
def op(name):
    return OPS[name][0]


@pytest.fixture
def reference(name):
    return OPS[name][1]


@dataclass(frozen=True)
class Case:
    """Packed queries, keys and values `b t s 3 h e`, and a gradient for the result."""

    qkv: torch.Tensor
    gradient: torch.Tensor

    def run(self, op):
        """Output and gradient of qkv."""
        qkv = self.qkv.detach().requires_grad_()
        out = op(qkv)
        return out, *torch.autograd.grad(out, qkv, self.gradient)

    def to(self, what):
        """The same case with another dtype or on another device."""
        return replace(self, qkv=self.qkv.to(what), gradient=self.gradient.to(what))


@pytest.fixture(scope="session")
def make_case():
    def make(batch=2, frames=4, places=6, *, heads=2, head_dim=32):
        generator = torch.Generator().manual_seed(0)
        shape = batch, frames, places
        return Case(
            torch.randn(*shape, 3, heads, head_dim, generator=generator),
            torch.randn(*shape, heads, head_dim, generator=generator),
        )

    return make


@pytest.fixture(scope="session")
def assert_close(assert_close):
    """The same for packed gradients; queries, keys and values each for itself."""

    def check(results, definition, tolerance):
        assert [x.shape for x in results] == [x.shape for x in definition]
        parts = ((out, *packed.unbind(3)) for out, packed in (results, definition))
        assert_close(*parts, tolerance)

    return check

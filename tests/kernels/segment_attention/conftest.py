from dataclasses import dataclass, replace

import pytest
import torch


@dataclass(frozen=True)
class Case:
    """Packed queries, keys and values `... 3 h e`, and a gradient for the result `... h e`."""

    qkv: torch.Tensor
    gradient: torch.Tensor

    def run(self, op, *arguments):
        """Output, gradients of q, k, v."""
        leaves = [x.detach().requires_grad_() for x in self.qkv.unbind(-3)]
        out = op(*leaves, *arguments)
        return out, *torch.autograd.grad(out, leaves, self.gradient)

    def to(self, what):
        """The same case with another dtype or on another device."""
        return replace(self, qkv=self.qkv.to(what), gradient=self.gradient.to(what))


@pytest.fixture(scope="session")
def make_case():
    def make(*shape, heads=2, head_dim=32):
        generator = torch.Generator().manual_seed(0)
        return Case(
            torch.randn(*shape, 3, heads, head_dim, generator=generator),
            torch.randn(*shape, heads, head_dim, generator=generator),
        )

    return make


@pytest.fixture(scope="session")
def formula():
    """Attention of flat tokens `n h e` by a dense mask: which key each query sees."""

    def attention(q, k, v, seen):
        scores = torch.einsum("ihe,jhe->hij", q, k) / q.shape[-1] ** 0.5
        weights = scores.exp() * seen
        weights = weights / weights.sum(-1, keepdim=True).clamp_min(1e-300)
        return torch.einsum("hij,jhe->ihe", weights, v)

    return attention

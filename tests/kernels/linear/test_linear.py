import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

import worldmodel_kernels.linear as linear_module
from worldmodel_kernels import dispatch
from worldmodel_kernels.linear import FEWEST_WEIGHTS, linear
from worldmodel_kernels.linear.op import onednn_linear

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this PyTorch was built without oneDNN"
)

NORM_ERROR = 2e-6
"""Of fp32 sums over at most 300 numbers, relative to float64: twice sqrt(300) * 2**-24."""


@pytest.fixture(autouse=True)
def on_such_a_processor(monkeypatch):
    monkeypatch.delenv("WMT_KERNELS", raising=False)
    monkeypatch.setattr(linear_module, "MKL_IS_SLOW", True)
    monkeypatch.setattr(dispatch, "_logged", set())
    torch.manual_seed(0)


def _gradients(product, tokens, weight, bias, gradient):
    leaves = [x.detach().clone().requires_grad_() for x in (tokens, weight, bias)]
    output = product(*leaves)
    return output.detach(), *torch.autograd.grad(output, leaves, gradient.expand_as(output))


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 70), inputs=st.integers(1, 300), outputs=st.integers(1, 90),
    one_gradient_for_all=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_product_and_gradients_are_those_of_float64(
    rows, inputs, outputs, one_gradient_for_all, seed
):
    generator = torch.Generator().manual_seed(seed)
    shapes = (rows, inputs), (outputs, inputs), (outputs,), (1,) * 2
    tokens, weight, bias, one = (torch.randn(*shape, generator=generator) for shape in shapes)
    # expanded gradients have no memory of their own, as those of a sum
    gradient = one if one_gradient_for_all else torch.randn(rows, outputs, generator=generator)
    case = tokens, weight, bias, gradient
    exact = _gradients(functional.linear, *(x.double() for x in case))
    for mine, expected in zip(_gradients(onednn_linear, *case), exact, strict=True):
        assert mine.is_contiguous()
        assert (mine - expected).norm() <= NORM_ERROR * expected.norm().clamp_min(1.0)


def test_views_of_any_stride_are_read_right():
    tokens, weight = torch.randn(300, 40).t(), torch.randn(600, 200)[::3, ::2].t()
    product = onednn_linear(tokens[:, :100], weight[:, :100][:7], None)
    expected = tokens[:, :100].double() @ weight[:7, :100].t().double()
    assert (product - expected).norm() <= NORM_ERROR * expected.norm()


def test_what_is_frozen_gets_no_gradient():
    tokens, weight = torch.randn(3, 200), torch.randn(200, 200)
    assert not linear(tokens, weight, None).requires_grad
    leaf = tokens.clone().requires_grad_()
    linear(leaf, weight, None).sum().backward()
    assert weight.grad is None
    expected = weight.double().sum(0).expand(3, -1)
    assert (leaf.grad - expected).norm() <= NORM_ERROR * expected.norm()


def test_onednn_serves_fp32_of_some_size_and_the_log_says_so(caplog):
    tokens, weight, bias = torch.randn(5, 200), torch.randn(200, 200), torch.randn(200)
    assert weight.numel() >= FEWEST_WEIGHTS
    with caplog.at_level(logging.INFO, logger="worldmodel_kernels"):
        for _ in range(2):
            assert torch.equal(linear(tokens, weight, bias), onednn_linear(tokens, weight, bias))
    assert caplog.messages == ["linear: oneDNN (fp32 on an AMD processor with AVX-512)"]


@pytest.mark.parametrize("why", ["small", "float64", "autocast", "another processor", "asked"])
def test_all_else_is_pytorchs_own(why, monkeypatch, caplog):
    dtype = torch.float64 if why == "float64" else torch.float32
    width = 20 if why == "small" else 200
    tokens, weight = torch.randn(5, width, dtype=dtype), torch.randn(width, width, dtype=dtype)
    if why == "another processor":
        monkeypatch.setattr(linear_module, "MKL_IS_SLOW", False)
    if why == "asked":
        monkeypatch.setenv("WMT_KERNELS", "reference")
    with (
        caplog.at_level(logging.INFO, logger="worldmodel_kernels"),
        torch.autocast("cpu", torch.bfloat16, enabled=why == "autocast"),
    ):
        assert torch.equal(linear(tokens, weight, None), functional.linear(tokens, weight))
    assert not caplog.messages


@pytest.mark.slow
def test_it_is_a_sound_operator():
    floats = (torch.randn(4, 6), torch.randn(5, 6), torch.randn(5))
    torch.library.opcheck(onednn_linear, tuple(x.requires_grad_() for x in floats))


@pytest.mark.compile
def test_torch_compile_passes_through_it():
    tokens, weight, bias = torch.randn(5, 200), torch.randn(200, 200), torch.randn(200)
    compiled = torch.compile(linear, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(tokens, weight, bias), onednn_linear(tokens, weight, bias))

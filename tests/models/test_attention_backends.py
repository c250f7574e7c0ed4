import logging
from itertools import product

import pytest
import torch

from worldmodel_kernels import dispatch
from worldmodel_train.models import attention_backends
from worldmodel_train.models.attention import attention
from worldmodel_train.models.attention_backends import (
    attend,
    choose_backend,
    refuse_nondeterministic,
)

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
BF16, FP32 = torch.bfloat16, torch.float32


@pytest.fixture(autouse=True)
def h100(monkeypatch):
    """As on one: CUDA devices have compute capability 9.0, and cuDNN is new."""
    monkeypatch.delenv("WMT_ATTENTION", raising=False)
    monkeypatch.setattr(dispatch, "_logged", set())
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (9, 0))
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91900)


def choose(device=CUDA, dtype=BF16, width=64, *, padded=False, one_length=False):
    return choose_backend(device, dtype, width, padded=padded, one_length=one_length)


def test_whole_clips_take_cudnn_and_lengths_that_change_flash(caplog):
    caplog.set_level(logging.INFO, logger="worldmodel_kernels")
    for _ in range(2):
        assert choose(one_length=True) == "cudnn"
        assert choose() == "flash"
    assert caplog.messages == [
        "attention over sequences of one length, heads of 64, bfloat16: cudnn",
        "attention over sequences whose lengths change, heads of 64, bfloat16: flash; "
        "not cudnn: it plans anew for each length",
    ]


@pytest.mark.parametrize(
    ("call", "backend"),
    [
        ({"padded": True}, "efficient"),
        ({"dtype": FP32}, "efficient"),
        ({"dtype": FP32, "one_length": True}, "efficient"),
        ({"dtype": FP32, "width": 12}, "math"),
        ({"dtype": torch.float64}, "math"),
        ({"width": 12, "one_length": True}, "flash"),
        ({"width": 192, "one_length": True}, "flash"),
        ({"width": 256}, "efficient"),
        ({"width": 12, "padded": True}, "math"),
        ({"device": CPU, "padded": True}, "pytorch"),
        ({"device": torch.device("meta")}, "pytorch"),
    ],
    ids=str,
)
def test_auto_takes_the_next_that_serves(call, backend):
    assert choose(**call) == backend


@pytest.mark.parametrize("capability", [(8, 0), (8, 9), (12, 0)])
def test_cudnn_is_taken_unasked_only_where_it_is_faster(monkeypatch, capability):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    assert choose(one_length=True) == "flash"
    monkeypatch.setenv("WMT_ATTENTION", "cudnn")
    assert choose() == choose(one_length=True) == "cudnn"


def test_an_old_cudnn_is_not_taken(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    monkeypatch.setenv("WMT_ATTENTION", "cudnn")
    assert choose(one_length=True) == "flash"


def test_gpus_before_ampere_take_what_they_have(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (7, 5))
    assert choose(dtype=FP32) == "efficient"
    assert choose(dtype=BF16) == "math"


def test_amd_gpus_are_left_to_pytorch(monkeypatch):
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert choose() == "pytorch"


@pytest.mark.parametrize("asked", ["flash", "cudnn", "efficient", "math"])
def test_a_choice_is_obeyed_where_it_can_be(monkeypatch, caplog, asked):
    monkeypatch.setenv("WMT_ATTENTION", asked)
    assert choose(one_length=True) == choose() == asked
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


@pytest.mark.parametrize(
    ("asked", "call", "backend", "reason"),
    [
        ("cudnn", {"device": CPU}, "pytorch", "tensors are on cpu, not on a GPU of NVIDIA's"),
        ("cudnn", {"width": 20}, "flash", "heads of 20 are no multiple of 8"),
        ("cudnn", {"dtype": FP32}, "efficient", "heads are torch.float32, not bfloat16 or"),
        ("flash", {"padded": True}, "efficient", "padding needs a mask"),
        ("efficient", {"width": 12}, "flash", "heads of 12 are no multiple of 8"),
    ],
)
def test_a_choice_that_cannot_serve_is_a_warning_with_its_reason(
    monkeypatch, caplog, asked, call, backend, reason
):
    monkeypatch.setenv("WMT_ATTENTION", asked)
    assert choose(**call) == backend
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f": {backend}; not {asked}: {reason}" in record.getMessage()


def test_a_choice_that_does_not_exist_is_an_error(monkeypatch):
    monkeypatch.setenv("WMT_ATTENTION", "xformers")
    with pytest.raises(ValueError, match="WMT_ATTENTION=xformers is none of auto, flash, cudnn"):
        choose()


def test_flash_attn_that_is_not_installed_is_an_error_with_the_remedy(monkeypatch):
    monkeypatch.setattr(attention_backends, "FLASH_ATTN_IS_INSTALLED", False)
    monkeypatch.setenv("WMT_ATTENTION", "flash_attn")
    with pytest.raises(ValueError, match=r"pip install 'worldmodel-train\[flash\]'"):
        choose()


def test_flash_attn_that_does_not_load_is_an_error_with_the_remedy(monkeypatch, tmp_path):
    (tmp_path / "flash_attn.py").write_text("raise ImportError('undefined symbol: _ZN3c10')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(attention_backends, "FLASH_ATTN_IS_INSTALLED", True)
    monkeypatch.setenv("WMT_ATTENTION", "flash_attn")
    with pytest.raises(ValueError, match="undefined symbol: _ZN3c10; install flash-attn built for"):
        choose()


def test_flash_attn_is_imported_for_calls_that_it_serves_alone(monkeypatch, caplog):
    monkeypatch.setattr(attention_backends, "FLASH_ATTN_IS_INSTALLED", True)
    monkeypatch.setenv("WMT_ATTENTION", "flash_attn")
    assert choose(padded=True) == "efficient"
    assert choose(device=CPU) == "pytorch"
    assert "not flash_attn: padding needs a mask" in caplog.text


def test_deterministic_algorithms_rule_cudnn_out(monkeypatch):
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    assert choose(one_length=True) == "flash"
    refuse_nondeterministic()
    monkeypatch.setenv("WMT_ATTENTION", "cudnn")
    with pytest.raises(ValueError, match="WMT_ATTENTION=cudnn does not give the same bits twice"):
        refuse_nondeterministic()


@pytest.mark.parametrize("backend", ["flash", "math", "pytorch"])
@pytest.mark.parametrize("padded", [False, True])
def test_backends_equal_the_formula_in_float64(backend, padded):
    generator = torch.Generator().manual_seed(0)
    queries, keys, values = torch.randn(3, 2, 3, 7, 10, generator=generator)
    valid = torch.rand(2, 7, generator=generator) < 0.6
    valid[:, 0] = True
    scores = queries.double() @ keys.double().transpose(-1, -2) / 10**0.5
    if padded:
        scores = scores.masked_fill(~valid[:, None, None], -torch.inf)
    actual = attend(backend, queries, keys, values, valid if padded else None)
    expected = scores.softmax(-1) @ values.double()
    torch.testing.assert_close(actual.double(), expected, rtol=0, atol=1e-6)


def test_what_was_chosen_is_what_pytorch_runs(monkeypatch):
    heads = torch.randn(1, 2, 5, 8, requires_grad=True)
    monkeypatch.setenv("WMT_ATTENTION", "math")
    assert "Flash" not in attention(heads, heads, heads).grad_fn.name()
    monkeypatch.setenv("WMT_ATTENTION", "flash")
    assert "Flash" in attention(heads, heads, heads).grad_fn.name()


@pytest.mark.compile
@pytest.mark.parametrize("asked", ["auto", "flash", "math"])
def test_torch_compile_takes_the_choice_whole(monkeypatch, caplog, asked):
    monkeypatch.setenv("WMT_ATTENTION", asked)
    caplog.set_level(logging.INFO, logger="worldmodel_kernels")
    torch.compiler.reset()
    heads = [torch.randn(1, 2, 5, 8, requires_grad=True) for _ in range(3)]
    expected = torch.autograd.grad(attention(*heads).square().sum(), heads)
    dispatch._logged.clear()
    compiled = torch.compile(attention, fullgraph=True, backend="aot_eager")
    found = torch.autograd.grad(compiled(*heads).square().sum(), heads)
    torch.testing.assert_close(found, expected)
    assert f"float32: {'pytorch' if asked == 'auto' else asked}" in caplog.text


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["flash", "cudnn", "efficient", "math", "flash_attn"])
@pytest.mark.parametrize(("tokens", "width"), [(2048, 64), (494, 64), (1463, 32), (77, 88)])
def test_backends_equal_float64_on_a_gpu(monkeypatch, backend, tokens, width):
    if backend == "flash_attn":
        pytest.importorskip("flash_attn", reason="the package flash-attn is not installed")
    monkeypatch.undo()
    torch.manual_seed(0)
    # as attention gets them: heads side by side in memory
    given = torch.randn(3, 4, tokens, 3, width, device="cuda", dtype=BF16, requires_grad=True)
    monkeypatch.setenv("WMT_ATTENTION", backend)
    heads = [x.transpose(1, 2) for x in given]
    assert choose(torch.device("cuda", 0), width=width) == backend
    result = attention(*heads)
    slope = torch.randn_like(result)
    gradient = torch.autograd.grad(result, given, slope)[0]
    exact = given.detach().double().requires_grad_()
    scores, values = _scores(exact), exact[2].transpose(1, 2)
    definition = scores.softmax(-1) @ values
    expected = torch.autograd.grad(definition, exact, slope.double())[0]
    assert (result.double() - definition).norm() <= 4e-3 * definition.norm()
    assert (gradient.double() - expected).norm() <= 1e-2 * expected.norm()


def _scores(given):
    queries, keys = given[0].transpose(1, 2), given[1].transpose(1, 2)
    return queries @ keys.transpose(-1, -2) / given.shape[-1] ** 0.5


@pytest.mark.gpu
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("asked", ["auto", "flash", "cudnn", "efficient"])
def test_pytorch_can_run_what_is_chosen(monkeypatch, padded, asked):
    monkeypatch.undo()
    monkeypatch.setenv("WMT_ATTENTION", asked)
    valid = torch.arange(40, device="cuda").expand(2, 40) < 30 if padded else None
    for dtype, width in product((BF16, torch.float16, FP32), (12, 32, 64, 88, 128, 192, 256)):
        heads = torch.randn(2, 3, 40, width, device="cuda", dtype=dtype, requires_grad=True)
        for one_length in (False, True):
            result = attention(heads, heads, heads, valid, one_length=one_length)
            assert torch.autograd.grad(result.sum(), heads)[0].isfinite().all()

import logging

import pytest
import torch

from worldmodel_kernels import dispatch
from worldmodel_kernels.dispatch import use_triton

CPU = torch.device("cpu")
CUDA = torch.device("cuda")


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    monkeypatch.delenv("WMT_KERNELS", raising=False)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(dispatch, "TRITON_IS_INSTALLED", True)
    monkeypatch.setattr(dispatch, "HAS_C_COMPILER", True)
    monkeypatch.setattr(dispatch, "_logged", set())


def test_auto_takes_triton_on_cuda_only(monkeypatch):
    assert use_triton("op", CUDA, None)
    assert not use_triton("op", CPU, None)
    monkeypatch.setattr(dispatch, "TRITON_IS_INSTALLED", False)
    assert not use_triton("op", CUDA, None)


def test_triton_is_not_taken_where_it_cannot_compile_its_launcher(monkeypatch):
    monkeypatch.setattr(dispatch, "HAS_C_COMPILER", False)
    assert not use_triton("op", CUDA, None)
    monkeypatch.setenv("WMT_KERNELS", "triton")
    with pytest.raises(ValueError, match="needs a C compiler to launch kernels; install gcc"):
        use_triton("op", CUDA, None)


@pytest.mark.compile
def test_the_choice_is_logged_under_torch_compile(caplog):
    def double(x):
        return 2 * x if use_triton("op", x.device, None) else 3 * x

    with caplog.at_level(logging.INFO, logger="worldmodel_kernels"):
        compiled = torch.compile(double, fullgraph=True, backend="aot_eager")
        assert compiled(torch.ones(2)).tolist() == [3.0, 3.0]
    assert "op: PyTorch reference (tensors are on cpu" in caplog.text


def test_auto_leaves_what_triton_cannot_do_to_the_reference():
    assert not use_triton("op", CUDA, "head dim 48")


def test_the_interpreter_serves_cpu_tensors(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert use_triton("op", CPU, None)


def test_reference_is_obeyed_on_cuda(monkeypatch):
    monkeypatch.setenv("WMT_KERNELS", "reference")
    assert not use_triton("op", CUDA, None)


@pytest.mark.parametrize(
    ("device", "unsupported", "reason"),
    [
        (CUDA, "head dim 48", "op cannot use Triton: head dim 48"),
        (CPU, None, "on cpu, not on CUDA"),
    ],
)
def test_triton_demanded_in_vain_is_an_error(monkeypatch, device, unsupported, reason):
    monkeypatch.setenv("WMT_KERNELS", "triton")
    assert use_triton("op", CUDA, None)
    with pytest.raises(ValueError, match=reason):
        use_triton("op", device, unsupported)


def test_a_choice_that_does_not_exist_is_an_error(monkeypatch):
    monkeypatch.setenv("WMT_KERNELS", "cuda")
    with pytest.raises(ValueError, match="WMT_KERNELS=cuda is none of auto, triton, reference"):
        use_triton("op", CPU, None)


def test_each_choice_is_logged_once(caplog):
    caplog.set_level(logging.INFO, logger="worldmodel_kernels")
    for _ in range(2):
        use_triton("op", CUDA, None)
        use_triton("op", CUDA, "head dim 48")
    assert caplog.messages == ["op: Triton", "op: PyTorch reference (head dim 48)"]


def test_bfloat16_is_refused_in_the_interpreter_only(monkeypatch):
    assert dispatch.unsupported_dtype("heads", torch.bfloat16) is None
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert "wrong in Triton's interpreter" in dispatch.unsupported_dtype("heads", torch.bfloat16)
    assert dispatch.unsupported_dtype("heads", torch.float16) is None


def test_double_precision_is_refused():
    message = dispatch.unsupported_dtype("heads", torch.float64)
    assert message == "heads are torch.float64, not bfloat16, float16 or float32"

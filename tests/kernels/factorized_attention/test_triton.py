from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worldmodel_kernels.factorized_attention import space_attention, time_attention
from worldmodel_kernels.factorized_attention.op import (
    attend_over_space,
    attend_over_time,
    space_gradients,
    time_gradients,
)
from worldmodel_kernels.factorized_attention.reference import time_attention_reference

pytestmark = [pytest.mark.interpret, pytest.mark.usefixtures("interpreter", "poison")]

# of the norm of the float64 reference: fp32 sums, and fp16 weights and results
TOLERANCE = {torch.float32: 1e-6, torch.float16: 1e-3}
DTYPES = st.sampled_from(list(TOLERANCE))
HEAD_DIMS = st.sampled_from([32, 64, 80])


@pytest.fixture
def assert_it_matches(assert_close, op, reference):
    def check(case, dtype=torch.float32):
        case = case.to(dtype)
        results = case.run(op)
        assert {x.dtype for x in results} == {dtype}
        assert all(x.is_contiguous() for x in results)
        assert_close(results, case.to(torch.float64).run(reference), TOLERANCE[dtype])

    return check


@given(
    batch=st.integers(1, 2),
    frames=st.integers(1, 9),
    places=st.integers(1, 20),
    heads=st.integers(1, 2),
    head_dim=HEAD_DIMS,
    dtype=DTYPES,
)
@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    # the fixtures change nothing
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_results_and_gradients_are_the_references(make_case, assert_it_matches, dtype, **sizes):
    assert_it_matches(make_case(**sizes), dtype)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("dtype", "frames"),
    [(torch.float32, x) for x in (16, 17, 32)] + [(torch.float16, x) for x in (32, 33, 64)],
)
def test_places_fill_tiles_to_the_last_row(make_case, assert_close, dtype, frames, causal):
    case = make_case(1, frames, 3, heads=1, head_dim=80).to(dtype)
    results = case.run(lambda x: time_attention(x, causal=causal))
    definition = case.to(torch.float64).run(lambda x: time_attention_reference(x, causal=causal))
    assert_close(results, definition, TOLERANCE[dtype])


def test_scores_may_be_large(make_case, assert_close, op, reference):
    case = make_case()
    case.qkv[:, :, :, :2] *= 20  # scores of up to 2000, weights of one key
    # scores in fp32 are off by 1e-4
    assert_close(case.run(op), case.to(torch.float64).run(reference), 1e-4)


@pytest.mark.parametrize("axes", [(0, 1), (1, 2), (2, 4), (4, 5)])
def test_qkv_is_read_by_its_strides(make_case, assert_it_matches, axes):
    case = make_case()
    swapped = case.qkv.transpose(*axes).contiguous().transpose(*axes)
    assert not swapped.is_contiguous()
    assert_it_matches(replace(case, qkv=swapped))


def test_qkv_may_be_a_part(make_case, assert_it_matches):
    case = make_case(3, 8, 7)
    part = replace(case, qkv=case.qkv[1:, 2:6, :6], gradient=case.gradient[1:, 2:6, :6])
    assert_it_matches(part)


def test_an_expanded_gradient_is_read_by_its_strides(make_case, assert_it_matches):
    case = make_case()
    assert_it_matches(replace(case, gradient=torch.ones(()).expand(case.gradient.shape)))


def test_no_place_knows_of_another(make_case):
    case = make_case()
    clean = case.run(lambda x: time_attention(x, causal=False))
    case.qkv[:, :, 3] += 1
    touched = case.run(lambda x: time_attention(x, causal=False))
    same = [0, 1, 2, 4, 5]
    for mine, before in zip(touched, clean, strict=True):
        assert torch.equal(mine[:, :, same], before[:, :, same])
        assert not torch.equal(mine[:, :, 3], before[:, :, 3])


def test_the_past_knows_nothing_of_the_future(make_case):
    case = make_case(frames=6)
    clean = case.run(lambda x: time_attention(x, causal=True))[0]
    case.qkv[:, 4] += 1
    touched = case.run(lambda x: time_attention(x, causal=True))[0]
    assert torch.equal(touched[:, :4], clean[:, :4])
    assert not torch.equal(touched[:, 4:], clean[:, 4:])


@pytest.mark.parametrize(("frames", "places"), [(0, 6), (4, 0)])
def test_no_tokens_are_no_result(make_case, op, frames, places):
    out, gradient = make_case(2, frames, places).run(op)
    assert out.shape == (2, frames, places, 2, 32)
    assert gradient.shape == (2, frames, places, 3, 2, 32)


def test_autocast_decides_the_dtype_of_the_result_and_not_of_the_gradient(make_case, op):
    case = make_case()
    halves = replace(case, gradient=case.gradient.half())
    with torch.autocast("cpu", dtype=torch.float16):
        out, gradient = halves.run(op)
    expected = case.to(torch.float16).run(op)
    assert torch.equal(out, expected[0])
    assert torch.equal(gradient, expected[1].float())


@pytest.mark.parametrize(
    ("dtype", "frames", "head_dim", "reason"),
    [
        (torch.float32, 2, 48, "head dim 48 is none of 32, 64, 80"),
        (torch.float64, 2, 32, "values are torch.float64"),
        (torch.bfloat16, 2, 32, "bfloat16 is wrong in Triton's interpreter"),
        (torch.float32, 33, 32, "33 frames are more than the 32 of torch.float32"),
        (torch.float16, 65, 32, "65 frames are more than the 64 of torch.float16"),
    ],
)
def test_what_triton_cannot_serve_uses_the_reference(
    make_case, caplog, dtype, frames, head_dim, reason
):
    caplog.set_level("INFO", logger="worldmodel_kernels")
    case = make_case(1, frames, 2, heads=1, head_dim=head_dim).to(dtype)
    out = time_attention(case.qkv, causal=True)
    assert torch.equal(out, time_attention_reference(case.qkv, causal=True))
    assert f"time_attention: PyTorch reference ({reason}" in caplog.text


def test_long_clips_keep_the_kernel_of_space(make_case, caplog):
    caplog.set_level("INFO", logger="worldmodel_kernels")
    space_attention(make_case(1, 65, 2).qkv)
    assert "space_attention: PyTorch reference" not in caplog.text


def test_they_keep_the_promises_of_operators(make_case):
    case = make_case(1, 3, 2, heads=1)
    qkv = case.qkv.requires_grad_()
    torch.library.opcheck(attend_over_space, (qkv,))
    torch.library.opcheck(attend_over_time, (qkv, True))
    qkv = qkv.detach()
    torch.library.opcheck(space_gradients, (qkv, *attend_over_space(qkv), case.gradient))
    torch.library.opcheck(time_gradients, (qkv, case.gradient, False))


def test_torch_compile_takes_it_whole(make_case, op):
    case = make_case()
    compiled = torch.compile(op, fullgraph=True, backend="aot_eager")
    for mine, eager in zip(case.run(compiled), case.run(op), strict=True):
        assert torch.equal(mine, eager)

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel_kernels.segment_attention import frame_causal_attention, ragged_attention
from worldmodel_kernels.segment_attention.op import attend, gradients
from worldmodel_kernels.segment_attention.reference import (
    frame_causal_attention_reference,
    ragged_attention_reference,
)
from worldmodel_kernels.segment_attention.types import Segments

pytestmark = [pytest.mark.interpret, pytest.mark.usefixtures("interpreter", "poison")]

# of the norm of the float64 reference: fp32 sums, and fp16 weights and results
TOLERANCE = {torch.float32: 2e-6, torch.float16: 1e-3}
DTYPES = st.sampled_from(list(TOLERANCE))
HEAD_DIMS = st.sampled_from([32, 64, 80])


def lay_out(lengths, gap):
    """Segments in an order that is not the tokens', with `gap` tokens around each."""
    starts = [gap + sum(lengths[:i]) + i * gap for i in range(len(lengths))]
    tokens = sum(lengths) + gap * (len(lengths) + 1)
    return tokens, torch.tensor(starts[::-1]), torch.tensor(lengths[::-1])


@given(
    lengths=st.lists(st.integers(0, 50), min_size=1, max_size=3),
    gap=st.integers(0, 3),
    spare=st.integers(0, 40),
    heads=st.integers(1, 2),
    head_dim=HEAD_DIMS,
    dtype=DTYPES,
)
@settings(max_examples=8, deadline=None, derandomize=True)
def test_ragged_attention_and_gradients_are_the_references(  # noqa: PLR0913
    make_case, assert_close, lengths, gap, spare, heads, head_dim, dtype
):
    tokens, *segments = lay_out(lengths, gap)
    case = make_case(tokens, heads=heads, head_dim=head_dim).to(dtype)
    arguments = *segments, max(lengths) + spare
    results = case.run(ragged_attention, *arguments)
    assert {x.dtype for x in results} == {dtype}
    definition = case.to(torch.float64).run(ragged_attention_reference, *arguments)
    assert_close(results, definition, TOLERANCE[dtype])


@given(
    frame_tokens=st.integers(1, 80),
    frames=st.integers(1, 5),
    batch=st.integers(1, 2),
    head_dim=HEAD_DIMS,
    dtype=DTYPES,
)
@settings(max_examples=8, deadline=None, derandomize=True)
def test_frame_causal_attention_and_gradients_are_the_references(  # noqa: PLR0913
    make_case, assert_close, frame_tokens, frames, batch, head_dim, dtype
):
    tokens = frame_tokens * min(frames, max(100 // frame_tokens, 1))
    case = make_case(batch, tokens, heads=1, head_dim=head_dim).to(dtype)
    results = case.run(frame_causal_attention, frame_tokens)
    assert {x.dtype for x in results} == {dtype}
    definition = case.to(torch.float64).run(frame_causal_attention_reference, frame_tokens)
    assert_close(results, definition, TOLERANCE[dtype])


@pytest.mark.parametrize("frame_tokens", [1, 20, 75, 150, 300])
@pytest.mark.parametrize("head_dim", [64, 80])
def test_tiles_of_half_precision_are_cut_by_frames(make_case, assert_close, head_dim, frame_tokens):
    case = make_case(1, 300, heads=1, head_dim=head_dim).to(torch.float16)
    results = case.run(frame_causal_attention, frame_tokens)
    definition = case.to(torch.float64).run(frame_causal_attention_reference, frame_tokens)
    assert_close(results, definition, TOLERANCE[torch.float16])


def test_scores_may_be_large(make_case, assert_close):
    case = make_case(1, 70, head_dim=64)
    case.qkv[:, :, :2] *= 20  # scores of up to 2000, weights of one key
    results = case.run(frame_causal_attention, 10)
    definition = case.to(torch.float64).run(frame_causal_attention_reference, 10)
    # scores in fp32 are off by 1e-4
    assert_close(results, definition, 1e-4)


def test_strides_of_any_layout_are_obeyed(make_case, assert_close):
    case = make_case(2, 40)
    q, k, v = (x.detach().requires_grad_() for x in case.qkv.unbind(2))
    definition = case.to(torch.float64).run(frame_causal_attention_reference, 8)
    apart = q.contiguous(), k.transpose(1, 2).contiguous().transpose(1, 2), v.mT.contiguous().mT
    assert [x.is_contiguous() for x in apart] == [True, False, False]
    out = frame_causal_attention(*apart, 8)
    slopes = torch.autograd.grad(out, (q, k, v), case.gradient.mT.contiguous().mT)
    assert_close((out, *slopes), definition, TOLERANCE[torch.float32])


def test_an_expanded_gradient_is_read_by_its_strides(make_case, assert_close):
    case = make_case(1, 40)
    case = type(case)(case.qkv, torch.ones(()).expand(1, 40, 2, 32))
    definition = case.to(torch.float64).run(frame_causal_attention_reference, 8)
    assert_close(case.run(frame_causal_attention, 8), definition, TOLERANCE[torch.float32])


@pytest.mark.parametrize("frame", [0, 7])
def test_launchers_write_into_views_and_nowhere_else(make_case, assert_close, frame):
    from worldmodel_kernels.segment_attention.triton_impl import backward, forward

    case = make_case(80)
    q, k, v = case.qkv.unbind(1)
    segments = Segments(2, 35, frame, torch.tensor([3, 40]), torch.tensor([35, 21]))
    out, dq, dk, dv = torch.full((80, 5, 3, 40), 7.0)[:, :4, :2, :32].unbind(1)
    lse = torch.full((2, 80), 7.0)
    forward(q, k, v, out, lse, segments)
    backward(q, k, v, out, lse, case.gradient, dq, dk, dv, segments)
    whole = dq._base
    inside = torch.zeros(80, dtype=torch.bool)
    for start, length in ((3, 35), (40, 21)):
        rows = slice(start, start + length)
        inside[rows] = True
        part = type(case)(case.qkv[None, rows], case.gradient[None, rows]).to(torch.float64)
        definition = part.run(frame_causal_attention_reference, frame or length)
        results = (x[None, rows] for x in (out, dq, dk, dv))
        assert_close(results, definition, TOLERANCE[torch.float32])
    assert (whole[~inside] == 7).all()
    assert (lse[:, ~inside] == 7).all()
    whole[:, :4, :2, :32] = 7
    assert (whole == 7).all()


def test_frames_that_no_query_of_a_tile_sees_are_not_read(make_case):
    case = make_case(1, 128, heads=1)
    expected = case.run(frame_causal_attention, 32)  # tiles are no longer than frames
    case.qkv[:, 64:, 2] = torch.nan
    out, dq, _, _ = case.run(frame_causal_attention, 32)
    assert torch.equal(out[:, :64], expected[0][:, :64])
    assert torch.equal(dq[:, :64], expected[1][:, :64])
    assert out[:, 64:].isnan().all()


def test_queries_that_see_no_key_of_a_tile_are_not_read(make_case):
    case = make_case(1, 128, heads=1)
    expected = case.run(frame_causal_attention, 32)
    case.gradient[:, :64] = torch.nan
    _, _, dk, dv = case.run(frame_causal_attention, 32)
    assert torch.equal(dk[:, 64:], expected[2][:, 64:])
    assert torch.equal(dv[:, 64:], expected[3][:, 64:])
    assert dv[:, :64].isnan().all()


@pytest.mark.parametrize(("start", "length"), [(-2, 9), (36, 9), (20, 13)])
def test_a_segment_that_is_none_is_nan_in_those_of_its_tokens_that_exist(make_case, start, length):
    q, k, v = make_case(40).qkv.unbind(1)
    out, _ = attend(q, k, v, torch.tensor([start, 10]), torch.tensor([length, 4]), 2, 12, 0)
    bad = slice(max(start, 0), min(start + length, 40))
    assert out[bad].isnan().any(-1).any(-1).sum() >= 4
    assert out[10:14].isfinite().all()
    out[bad] = 0
    assert out.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_segments_may_be_any_integers_in_any_layout(make_case, assert_close, dtype):
    tokens, starts, lengths = lay_out([5, 40, 17], 1)
    case = make_case(tokens)
    columns = torch.stack([starts, lengths], 1).to(dtype).unbind(1)
    results = case.run(ragged_attention, *columns, 40)
    definition = case.to(torch.float64).run(ragged_attention_reference, starts, lengths, 40)
    assert_close(results, definition, TOLERANCE[torch.float32])


@pytest.mark.parametrize("count", [0, 2])
def test_no_tokens_in_segments_is_zero_everywhere(make_case, count):
    none = torch.zeros(count, dtype=torch.int64)
    for result in make_case(5).run(ragged_attention, none, none, 0):
        assert not result.any()


def test_autocast_decides_the_dtype_of_the_result_and_not_of_gradients(make_case):
    case = make_case(1, 40)
    halves = type(case)(case.qkv, case.gradient.half())
    with torch.autocast("cpu", dtype=torch.float16):
        out, *slopes = halves.run(frame_causal_attention, 8)
    assert [x.dtype for x in (out, *slopes)] == [torch.float16] + [torch.float32] * 3
    for mine, half in zip(
        (out, *slopes), case.to(torch.float16).run(frame_causal_attention, 8), strict=True
    ):
        assert torch.equal(mine, half.to(mine.dtype))


@pytest.mark.parametrize(
    ("dtype", "head_dim", "reason"),
    [
        (torch.float32, 48, "head dim 48 is none of 32, 64, 80"),
        (torch.float64, 32, "values are torch.float64"),
        (torch.bfloat16, 32, "bfloat16 is wrong in Triton's interpreter"),
    ],
)
def test_what_triton_cannot_serve_uses_the_reference(make_case, caplog, dtype, head_dim, reason):
    caplog.set_level("INFO", logger="worldmodel_kernels")
    case = make_case(1, 8, head_dim=head_dim).to(dtype)
    results = case.run(frame_causal_attention, 4)
    for mine, reference in zip(results, case.run(frame_causal_attention_reference, 4), strict=True):
        assert torch.equal(mine, reference)
    assert f"frame_causal_attention: PyTorch reference ({reason}" in caplog.text


@pytest.mark.parametrize("ragged", [False, True])
def test_they_keep_the_promises_of_operators(make_case, ragged):
    case = make_case(24, heads=1)
    leaves = [x.detach().requires_grad_() for x in case.qkv.unbind(1)]
    starts, lengths = (torch.tensor([1, 9]), torch.tensor([6, 12])) if ragged else (None, None)
    sizes = (starts, lengths, 2, 12, 0 if ragged else 4)
    torch.library.opcheck(attend, (*leaves, *sizes))
    detached = [x.detach() for x in leaves]
    kept = *detached, *attend(*detached, *sizes), case.gradient
    torch.library.opcheck(gradients, (*kept, *sizes))


def test_torch_compile_takes_them_whole(make_case):
    _, *segments = lay_out([5, 17], 1)
    for case, op, arguments in (
        (make_case(25), ragged_attention, (*segments, 17)),
        (make_case(2, 12), frame_causal_attention, (4,)),
    ):
        compiled = torch.compile(op, fullgraph=True, backend="aot_eager")
        for mine, eager in zip(
            case.run(compiled, *arguments), case.run(op, *arguments), strict=True
        ):
            assert torch.equal(mine, eager)

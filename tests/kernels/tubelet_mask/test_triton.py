from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel_kernels.tubelet_mask import tubelet_mask
from worldmodel_kernels.tubelet_mask.op import embed
from worldmodel_kernels.tubelet_mask.reference import tubelet_mask_reference

pytestmark = [pytest.mark.interpret, pytest.mark.usefixtures("interpreter", "poison")]

# of the norm of the float64 reference: fp32 products, and fp16 ones of rounded pixels
TOLERANCE = {torch.float32: 2e-6, torch.float16: 2e-3}


def assert_it_matches(case, dtype):
    results = case.to(dtype).run(tubelet_mask)
    definition = case.to(dtype).to(torch.float64).run(tubelet_mask_reference)
    for result, expected in zip(results, definition, strict=True):
        assert result.dtype == dtype
        assert result.shape == expected.shape
        error = (result.double() - expected).norm() / expected.norm()
        assert error <= TOLERANCE[dtype]


@given(
    grid=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)),
    size=st.tuples(st.integers(1, 3), st.integers(1, 9)),
    batch=st.integers(1, 3),
    kept=st.integers(1, 40),
    width=st.integers(1, 140),
    channels=st.integers(1, 4),
    dtype=st.sampled_from([torch.float32, torch.float16]),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_tokens_and_gradients_are_the_references(make_case, grid, size, dtype, **sizes):
    assert_it_matches(make_case(grid, size, **sizes), dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_sums_go_over_several_tiles(make_case, dtype):
    assert_it_matches(make_case((2, 6, 6), (2, 7), kept=50, width=150), dtype)


def test_it_equals_the_reference_of_its_own_dtype(make_case):
    case = make_case()
    for mine, reference in zip(
        case.run(tubelet_mask), case.run(tubelet_mask_reference), strict=True
    ):
        torch.testing.assert_close(mine, reference, rtol=1e-5, atol=1e-5)


def test_clips_need_not_be_contiguous(make_case):
    case = make_case()
    planes = case.clips.movedim(-1, 1).contiguous().movedim(1, -1)
    windows = torch.cat([planes, planes], dim=3)[:, :, :, :16]
    for clips in (planes, windows):
        assert not clips.is_contiguous()
        assert_it_matches(replace(case, clips=clips), torch.float32)


def test_an_expanded_gradient_is_read_by_its_strides(make_case):
    case = make_case()
    assert_it_matches(replace(case, gradient=torch.ones(()).expand(2, 5, 20)), torch.float32)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_one_row_of_ids_serves_every_clip(make_case, dtype):
    case = make_case()
    assert_it_matches(replace(case, index=case.index[:1].to(dtype)), torch.float32)


def test_no_kept_tokens_are_no_tokens_and_no_gradient(make_case):
    tokens, weight, bias = make_case(kept=0).run(tubelet_mask)
    assert tokens.shape == (2, 0, 20)
    assert not weight.any()
    assert not bias.any()


@pytest.mark.parametrize("stray", [-1, 24])
def test_an_id_outside_of_the_grid_is_a_token_of_nan(make_case, stray):
    case = make_case()
    case.index[1, 2] = stray
    tokens, weight, _ = case.run(tubelet_mask)
    assert tokens[1, 2].isnan().all()
    assert tokens.isnan().any(-1).sum() == 1
    assert weight.isnan().all()


def test_autocast_decides_the_dtype_of_tokens_and_not_of_gradients(make_case):
    case = replace(make_case(), gradient=make_case().gradient.half())
    with torch.autocast("cpu", dtype=torch.float16):
        tokens, weight, bias = case.run(tubelet_mask)
    assert (tokens.dtype, weight.dtype, bias.dtype) == (torch.float16, torch.float32, torch.float32)
    expected = case.to(torch.float16).run(tubelet_mask)
    assert torch.equal(tokens, expected[0])
    assert torch.equal(weight, expected[1].float())


def test_dtypes_that_triton_cannot_serve_use_the_reference(make_case, caplog):
    caplog.set_level("INFO", logger="worldmodel_kernels")
    for dtype in (torch.float64, torch.bfloat16):
        case = make_case().to(dtype)
        assert torch.equal(case.run(tubelet_mask)[0], case.run(tubelet_mask_reference)[0])
    assert "tubelet_mask: PyTorch reference (weights are torch.float64" in caplog.text
    assert "bfloat16 is wrong in Triton's interpreter" in caplog.text


def test_it_keeps_the_promises_of_an_operator(make_case):
    case = make_case()
    floats = case.weight.requires_grad_(), case.bias.requires_grad_()
    torch.library.opcheck(embed, (case.clips, case.index, *floats, *case.statistics, *case.size))


def test_torch_compile_takes_it_whole(make_case):
    case = make_case()
    compiled = torch.compile(tubelet_mask, fullgraph=True, backend="aot_eager")
    for mine, eager in zip(case.run(compiled), case.run(tubelet_mask), strict=True):
        assert torch.equal(mine, eager)

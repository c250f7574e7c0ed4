from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel_kernels.rope import rope, rope_groups
from worldmodel_kernels.rope.op import turn_groups
from worldmodel_kernels.rope.reference import rope_reference

pytestmark = [pytest.mark.interpret, pytest.mark.usefixtures("interpreter", "poison")]

# of the norm of the float64 reference: rounded products, and in fp16 rounded results
TOLERANCE = {torch.float32: 2e-7, torch.float16: 4e-4}


def assert_it_matches(case, dtype):
    case = case.to(dtype)
    results = case.run(rope)
    definition = case.to(torch.float64).run(rope_reference)
    for result, expected in zip(results, definition, strict=True):
        assert result.dtype == dtype
        assert result.shape == expected.shape
        assert result.is_contiguous()
        error = (result.double() - expected).norm() / expected.norm()
        assert error <= TOLERANCE[dtype]


@given(
    batch=st.integers(1, 3),
    one_table=st.booleans(),
    tokens=st.integers(1, 70),
    heads=st.integers(1, 9),
    width=st.sampled_from([2, 6, 24, 32, 64, 80]),
    dtype=st.sampled_from([torch.float32, torch.float16]),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_heads_and_gradient_are_the_references(make_case, batch, one_table, dtype, **sizes):
    case = make_case(batch=batch, tables=1 if one_table else batch, **sizes)
    assert_it_matches(case, dtype)


def test_values_are_copied_and_keep_nothing_alive(make_case):
    case = make_case()
    values = rope(case.qkv, case.cos, case.sin)[2]
    assert torch.equal(values, case.qkv[:, :, 2])
    assert values.untyped_storage().nbytes() == values.nbytes
    assert values.data_ptr() != case.qkv[:, :, 2].data_ptr()


def test_packed_heads_need_not_be_contiguous(make_case):
    case = make_case()
    longer = torch.cat([case.qkv, case.qkv], dim=1)[:, :5]
    turned = case.qkv.movedim(-1, 0).contiguous().movedim(0, -1)
    for qkv in (longer, turned):
        assert not qkv.is_contiguous()
        assert_it_matches(replace(case, qkv=qkv), torch.float32)


def test_gradients_are_read_by_their_strides(make_case):
    case = make_case()
    queries, keys, _ = case.gradients
    heads_first = queries.transpose(1, 2).contiguous().transpose(1, 2)
    width_first = keys.mT.contiguous().mT
    ones = torch.ones(()).expand(2, 5, 3, 32)
    assert_it_matches(replace(case, gradients=(heads_first, width_first, ones)), torch.float32)


def test_results_without_a_gradient_count_as_zero(make_case):
    case = make_case()
    for part in range(3):
        gradients = [torch.zeros_like(x) for x in case.gradients]
        gradients[part] = case.gradients[part]
        expected = replace(case, gradients=tuple(gradients)).run(rope_reference)[3]
        qkv = case.qkv.detach().requires_grad_()
        rope(qkv, case.cos, case.sin)[part].backward(case.gradients[part])
        torch.testing.assert_close(qkv.grad, expected)


def test_tables_of_another_precision_are_used_in_fp32(make_case):
    case = make_case()
    tables = case.cos.half(), case.sin.half()
    rounded = replace(case, cos=tables[0].float(), sin=tables[1].float())
    for half, single in zip(rope(case.qkv, *tables), rounded.run(rope), strict=False):
        assert torch.equal(half, single)


def test_no_tokens_are_no_heads(make_case):
    queries, _, _, gradient = make_case(tokens=0).run(rope)
    assert queries.shape == (2, 0, 3, 32)
    assert gradient.shape == (2, 0, 3, 3, 32)


def test_tables_get_no_gradient(make_case):
    case = make_case()
    heads = rope(case.qkv, case.cos.requires_grad_(), case.sin.requires_grad_())
    assert not any(x.requires_grad for x in heads)


def test_heads_that_triton_cannot_serve_use_the_reference(make_case, caplog):
    caplog.set_level("INFO", logger="worldmodel_kernels")
    for case in (make_case().to(torch.float64), make_case(width=258)):
        assert torch.equal(case.run(rope)[0], case.run(rope_reference)[0])
    assert "rope: PyTorch reference (heads are torch.float64" in caplog.text
    assert "rope: PyTorch reference (heads are 258 channels wide, more than 256)" in caplog.text


def test_groups_are_turned_one_by_one_with_one_packed_gradient(make_groups):
    groups = make_groups()
    results, gradient = groups.run(rope_groups)
    exact, expected = groups.to(torch.float64).run(groups.by_definition)
    for result, definition in zip(results, exact, strict=True):
        assert result.is_contiguous()
        assert (result - definition).norm() <= 2e-7 * definition.norm()
    assert gradient.is_contiguous()
    assert (gradient - expected).norm() <= 2e-7 * expected.norm()


def test_it_keeps_the_promises_of_an_operator(make_groups):
    groups = make_groups()
    rows, (cos, sin) = [rows for rows, _ in groups.shapes], zip(*groups.tables, strict=True)
    torch.library.opcheck(turn_groups, (groups.qkv.requires_grad_(), rows, list(cos), list(sin)))


def test_torch_compile_takes_it_whole(make_case):
    case = make_case()
    compiled = torch.compile(rope, fullgraph=True, backend="aot_eager")
    for mine, eager in zip(case.run(compiled), case.run(rope), strict=True):
        assert torch.equal(mine, eager)

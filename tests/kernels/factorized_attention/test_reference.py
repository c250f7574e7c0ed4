import pytest
import torch
from torch.autograd import gradcheck

SEEN = {
    "space": lambda frame, place: frame[:, None] == frame,
    "time": lambda frame, place: place[:, None] == place,
    "past": lambda frame, place: (place[:, None] == place) & (frame[:, None] >= frame),
}


def test_it_is_attention_under_a_mask(make_case, op, name):
    case = make_case().to(torch.float64)
    token = torch.arange(24)
    seen = SEEN[name](token // 6, token % 6)
    queries, keys, values = case.qkv.flatten(1, 2).unbind(2)
    scores = torch.einsum("bihe,bjhe->bhij", queries, keys) / 32**0.5
    weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
    expected = torch.einsum("bhij,bjhe->bihe", weights, values)
    torch.testing.assert_close(op(case.qkv).flatten(1, 2), expected)


def test_its_gradient_is_that_of_finite_differences(make_case, reference):
    case = make_case(1, 3, 2, heads=1, head_dim=4).to(torch.float64)
    assert gradcheck(reference, case.qkv.requires_grad_())


def test_the_result_is_contiguous(make_case, op):
    assert op(make_case().qkv).is_contiguous()


def test_autocast_decides_the_dtype(make_case, op):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert op(make_case().qkv).dtype == torch.bfloat16


@pytest.mark.compile
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # in inductor
def test_torch_compile_takes_it_whole(make_case, op):
    case = make_case()
    compiled = torch.compile(op, fullgraph=True)
    for mine, eager in zip(case.run(compiled), case.run(op), strict=True):
        torch.testing.assert_close(mine, eager)

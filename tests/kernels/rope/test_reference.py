import pytest
import torch
from torch.autograd import gradcheck

from worldmodel_kernels.rope import rope
from worldmodel_kernels.rope.reference import rope_reference


def test_each_channel_has_its_own_share_and_some_of_its_partner(make_case):
    case = make_case(batch=1, tables=1, tokens=1, heads=1, width=4)
    x, cos, sin = case.qkv[0, 0, 1, 0], case.cos[0, 0], case.sin[0, 0]
    expected = torch.stack([x[i] * cos[i] + x[i ^ 1] * sin[i] for i in range(4)])
    torch.testing.assert_close(case.run(rope)[1][0, 0, 0], expected)


def test_its_gradient_is_that_of_finite_differences(make_case):
    case = make_case(tokens=2, width=4).to(torch.float64)
    assert gradcheck(
        rope_reference, (case.qkv.requires_grad_(), case.cos.double(), case.sin.double())
    )


def test_tables_get_no_gradient(make_case):
    case = make_case()
    heads = rope(case.qkv, case.cos.requires_grad_(), case.sin.requires_grad_())
    assert not any(x.requires_grad for x in heads)


def test_one_table_serves_every_sample(make_case):
    case = make_case(tables=1)
    for sample in range(2):
        alone = rope(case.qkv[sample : sample + 1], case.cos, case.sin)
        for mine, all_of_it in zip(alone, case.run(rope), strict=False):
            assert torch.equal(mine[0], all_of_it[sample])


def test_heads_of_an_odd_width_are_refused(make_case):
    case = make_case(width=5)
    with pytest.raises(ValueError, match="heads are 5 channels wide; rope needs pairs"):
        rope(case.qkv, case.cos, case.sin)


@pytest.mark.compile
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # in inductor
def test_torch_compile_takes_it_whole(make_case):
    case = make_case()
    compiled = torch.compile(rope, fullgraph=True)
    for mine, eager in zip(case.run(compiled), case.run(rope), strict=True):
        torch.testing.assert_close(mine, eager)

from dataclasses import replace

import pytest
import torch
from torch.autograd import gradcheck

from worldmodel_kernels.tubelet_mask import TubeletSize, tubelet_mask
from worldmodel_kernels.tubelet_mask.reference import tubelet_mask_reference


def test_its_gradients_are_those_of_finite_differences(make_case):
    case = make_case(size=(1, 2), kept=3, width=4).to(torch.float64)
    weight, bias = case.weight.requires_grad_(), case.bias.requires_grad_()

    def tokens(weight, bias):
        return tubelet_mask_reference(
            case.clips, case.index, weight, bias, case.statistics, case.size
        )

    assert gradcheck(tokens, (weight, bias))


def test_one_row_of_ids_serves_every_clip(make_case):
    case = make_case()
    one = replace(case, index=case.index[:1])
    every = replace(case, index=case.index[:1].expand(2, -1))
    assert torch.equal(one.run(tubelet_mask)[0], every.run(tubelet_mask)[0])


def test_autocast_decides_the_dtype_of_tokens(make_case):
    case = make_case()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert case.run(tubelet_mask)[0].dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((3, 4), r"frames 4, not a multiple of 3 \(tubelet\); use 3"),
        ((2, 5), r"height 12, not a multiple of 5 \(patch\); use 10"),
        ((2, 3), r"width 16, not a multiple of 3 \(patch\); use 15"),
        ((2, 2), "weight has 96 columns; tubelets have 24 values"),
    ],
)
def test_a_size_that_does_not_fit_is_refused(make_case, size, message):
    case = replace(make_case(), size=TubeletSize(*size))
    with pytest.raises(ValueError, match=message):
        case.run(tubelet_mask)


@pytest.mark.compile
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # in inductor
def test_torch_compile_takes_it_whole(make_case):
    case = make_case()
    compiled = torch.compile(tubelet_mask, fullgraph=True)
    for mine, eager in zip(case.run(compiled), case.run(tubelet_mask), strict=True):
        torch.testing.assert_close(mine, eager)

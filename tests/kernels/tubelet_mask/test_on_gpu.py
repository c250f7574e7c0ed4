import pytest
import torch

from worldmodel_kernels.tubelet_mask import tubelet_mask
from worldmodel_kernels.tubelet_mask.reference import tubelet_mask_reference

pytestmark = pytest.mark.gpu

# of the norm of the float64 reference: rounded pixels and results; in fp32, sums over 12288 tokens
TOLERANCE = {torch.bfloat16: 4e-3, torch.float16: 5e-4, torch.float32: 1e-5}


@pytest.fixture(scope="module")
def case(make_case):
    """16 frames of 256 by 256 pixels, a quarter of the tokens, the width of ViT-L."""
    return make_case((8, 16, 16), (2, 16), batch=24, kept=512, width=1024).cuda()


@pytest.fixture(autouse=True)
def triton_or_nothing(monkeypatch):
    monkeypatch.setenv("WMT_KERNELS", "triton")


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_tokens_and_gradients_are_the_references_at_full_size(case, dtype):
    rounded = case.to(dtype)
    results = rounded.run(tubelet_mask)
    definition = rounded.to(torch.float64).run(tubelet_mask_reference)
    for result, expected in zip(results, definition, strict=True):
        error = (result.double() - expected).norm() / expected.norm()
        assert error <= TOLERANCE[dtype]


def test_twenty_runs_give_the_same_bits(case):
    case = case.to(torch.bfloat16)
    first = case.run(tubelet_mask)
    for _ in range(20):
        for again, once in zip(case.run(tubelet_mask), first, strict=True):
            assert torch.equal(again, once)


@pytest.mark.compile
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # in inductor
def test_torch_compile_takes_it_whole(case):
    case = case.to(torch.bfloat16)
    compiled = torch.compile(tubelet_mask, fullgraph=True)
    for mine, eager in zip(case.run(compiled), case.run(tubelet_mask), strict=True):
        torch.testing.assert_close(mine, eager)

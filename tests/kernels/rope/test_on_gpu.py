import pytest
import torch

from worldmodel_kernels.rope import rope
from worldmodel_kernels.rope.reference import rope_reference

pytestmark = pytest.mark.gpu

# of the norm of the float64 reference: rounded results; in fp32, rounded products
TOLERANCE = {torch.bfloat16: 2e-3, torch.float16: 3e-4, torch.float32: 1e-7}


@pytest.fixture(scope="module")
def case(make_case):
    """The target tokens of ViT-L: 16 frames of 256 by 256 pixels."""
    return make_case(batch=24, tables=24, tokens=2048, heads=16, width=64).cuda()


@pytest.fixture(autouse=True)
def triton_or_nothing(monkeypatch):
    monkeypatch.setenv("WMT_KERNELS", "triton")


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_heads_and_gradient_are_the_references_at_full_size(case, dtype):
    rounded = case.to(dtype)
    results = rounded.run(rope)
    definition = rounded.to(torch.float64).run(rope_reference)
    for result, expected in zip(results, definition, strict=True):
        error = (result.double() - expected).norm() / expected.norm()
        assert error <= TOLERANCE[dtype]


@pytest.mark.parametrize("width", [24, 32, 80, 128])
def test_other_widths_of_heads_are_the_references(make_case, width):
    case = make_case(tokens=100, heads=7, width=width).cuda().to(torch.bfloat16)
    definition = case.to(torch.float64).run(rope_reference)
    for result, expected in zip(case.run(rope), definition, strict=True):
        error = (result.double() - expected).norm() / expected.norm()
        assert error <= TOLERANCE[torch.bfloat16]


def test_twenty_runs_give_the_same_bits(case):
    case = case.to(torch.bfloat16)
    first = case.run(rope)
    for _ in range(20):
        for again, once in zip(case.run(rope), first, strict=True):
            assert torch.equal(again, once)


@pytest.mark.compile
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # in inductor
def test_torch_compile_takes_it_whole(case):
    case = case.to(torch.bfloat16)
    compiled = torch.compile(rope, fullgraph=True)
    for mine, eager in zip(case.run(compiled), case.run(rope), strict=True):
        torch.testing.assert_close(mine, eager)

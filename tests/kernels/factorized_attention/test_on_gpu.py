import pytest
import torch

pytestmark = pytest.mark.gpu

# of the norm of the float64 reference: 16 bit weights and results; in fp32, sums over 256 places
TOLERANCE = {torch.bfloat16: 5e-3, torch.float16: 6e-4, torch.float32: 2e-6}


@pytest.fixture(scope="module")
def case(make_case):
    """64 frames of 256 by 256 pixels in tubelets of 2 frames, the heads of ViT-L."""
    return make_case(4, 32, 256, heads=16, head_dim=64).to("cuda")


@pytest.fixture(autouse=True)
def triton_or_nothing(monkeypatch):
    monkeypatch.setenv("WMT_KERNELS", "triton")


@pytest.fixture
def assert_it_matches(assert_close, op, reference):
    def check(case, dtype):
        rounded = case.to(dtype)
        definition = rounded.to(torch.float64).run(reference)
        assert_close(rounded.run(op), definition, TOLERANCE[dtype])

    return check


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_results_and_gradients_are_the_references_at_full_size(case, assert_it_matches, dtype):
    assert_it_matches(case, dtype)


@pytest.mark.parametrize("head_dim", [32, 80])
@pytest.mark.parametrize(("frames", "dtype"), [(5, torch.bfloat16), (64, torch.float16)])
def test_other_heads_and_clips_are_the_references(
    make_case, assert_it_matches, frames, dtype, head_dim
):
    assert_it_matches(make_case(2, frames, 50, heads=3, head_dim=head_dim).to("cuda"), dtype)


def test_twenty_runs_give_the_same_bits(case, op):
    case = case.to(torch.bfloat16)
    first = case.run(op)
    for _ in range(20):
        for again, once in zip(case.run(op), first, strict=True):
            assert torch.equal(again, once)


@pytest.mark.compile
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # in inductor
def test_torch_compile_takes_it_whole(case, op):
    case = case.to(torch.bfloat16)
    compiled = torch.compile(op, fullgraph=True)
    for mine, eager in zip(case.run(compiled), case.run(op), strict=True):
        torch.testing.assert_close(mine, eager)

import pytest
import torch

from worldmodel_kernels.segment_attention import frame_causal_attention, ragged_attention
from worldmodel_kernels.segment_attention.reference import (
    frame_causal_attention_reference,
    ragged_attention_reference,
)

pytestmark = pytest.mark.gpu

# of the norm of the float64 reference: rounded weights, slopes and results, which take about 2.4e-3
# and 3e-4; in fp32, long sums
TOLERANCE = {torch.bfloat16: 4e-3, torch.float16: 5e-4, torch.float32: 1e-5}
FRAME = 258  # an action, a state, 16 by 16 patches


@pytest.fixture(autouse=True)
def triton_or_nothing(monkeypatch):
    monkeypatch.setenv("WMT_KERNELS", "triton")


@pytest.fixture(scope="module")
def segments():
    """What 24 clips of 1568 tokens keep, packed without padding, in another order than theirs."""
    lengths = torch.randint(200, 700, (24,), generator=torch.Generator().manual_seed(0))
    starts = lengths.cumsum(0) - lengths
    return starts.flip(0).cuda(), lengths.flip(0).cuda(), int(lengths.max())


@pytest.fixture(params=["ragged", "frame causal"])
def op(request, segments, make_case):
    """An op, its reference, their other arguments, and a case of this head dim at full size."""
    starts, lengths, longest = segments

    def choose(head_dim):
        sizes = {"heads": 16, "head_dim": head_dim}
        if request.param == "ragged":
            case = make_case(int(lengths.sum()), **sizes)
            return ragged_attention, ragged_attention_reference, (starts, lengths, longest), case
        case = make_case(2, 16 * FRAME, **sizes)
        return frame_causal_attention, frame_causal_attention_reference, (FRAME,), case

    return choose


@pytest.mark.parametrize("head_dim", [32, 64, 80])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_outputs_and_gradients_are_the_references_at_full_size(op, assert_close, dtype, head_dim):
    attention, reference, arguments, case = op(head_dim)
    case = case.to("cuda").to(dtype)
    results = case.run(attention, *arguments)
    assert {x.dtype for x in results} == {dtype}
    definition = case.to(torch.float64).run(reference, *arguments)
    assert_close(results, definition, TOLERANCE[dtype])


def test_twenty_runs_give_the_same_bits(op):
    attention, _, arguments, case = op(64)
    case = case.to("cuda").to(torch.bfloat16)
    first = case.run(attention, *arguments)
    for _ in range(20):
        for again, once in zip(case.run(attention, *arguments), first, strict=True):
            assert torch.equal(again, once)


def test_memory_is_that_of_the_results(op):
    attention, _, arguments, case = op(64)
    case = case.to("cuda").to(torch.bfloat16)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    case.run(attention, *arguments)
    # out, dq, dk and dv, and two fp32 numbers for 64 channels
    taken = torch.cuda.max_memory_allocated() - before
    assert 4 * case.gradient.nbytes <= taken <= 5 * case.gradient.nbytes


def test_a_segment_past_the_tokens_is_nan_and_touches_no_other_memory(segments, make_case):
    starts, lengths, longest = segments
    case = make_case(int(lengths.sum()), heads=2, head_dim=64).to("cuda")
    far = starts.clone()
    far[0] += 100  # the last tokens' segment
    out, *_ = case.run(ragged_attention, far, lengths, longest)
    assert out[far[0] :].isnan().all()
    assert out[: starts[0]].isfinite().all()


@pytest.mark.compile
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # in inductor
def test_torch_compile_takes_it_whole(op):
    attention, _, arguments, case = op(64)
    case = case.to("cuda").to(torch.bfloat16)
    compiled = torch.compile(attention, fullgraph=True)
    results = case.run(compiled, *arguments)
    for mine, eager in zip(results, case.run(attention, *arguments), strict=True):
        torch.testing.assert_close(mine, eager)

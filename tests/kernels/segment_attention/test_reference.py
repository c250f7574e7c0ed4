import pytest
import torch
from torch.autograd import gradcheck
from torch.nn.functional import scaled_dot_product_attention

from worldmodel_kernels.segment_attention import (
    frame_causal_attention,
    ragged_attention,
    reference,
)

STARTS, LENGTHS = torch.tensor([9, 1, 4, 6]), torch.tensor([4, 3, 0, 2])  # of 14 tokens


def segment_mask(tokens, starts, lengths):
    seen = torch.zeros(tokens, tokens, dtype=torch.bool)
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        seen[start : start + length, start : start + length] = True
    return seen


def test_ragged_attention_is_its_formula(make_case, assert_close, formula):
    case = make_case(14).to(torch.float64)
    seen = segment_mask(14, STARTS, LENGTHS)
    results = case.run(ragged_attention, STARTS, LENGTHS, 5)
    assert_close(results, case.run(formula, seen), 1e-13)


def test_tokens_in_no_segment_are_zero_and_give_no_gradient(make_case):
    alone = ~segment_mask(14, STARTS, LENGTHS).any(0)
    assert alone.sum() == 5
    for result in make_case(14).run(ragged_attention, STARTS, LENGTHS, 4):
        assert not result[alone].any()


def test_frame_causal_attention_is_its_formula(make_case, assert_close, formula):
    case = make_case(12).to(torch.float64)
    frame = torch.arange(12) // 3
    results = case.run(lambda *qkv: frame_causal_attention(*(x[None] for x in qkv), 3)[0])
    assert_close(results, case.run(formula, frame <= frame[:, None]), 1e-13)


@pytest.mark.parametrize("frame", [1, 2])
def test_no_frame_knows_of_later_ones(make_case, frame):
    qkv = make_case(2, 12).qkv.requires_grad_()
    out = frame_causal_attention(*qkv.unbind(2), 4)
    now = slice(frame * 4, (frame + 1) * 4)
    (known,) = torch.autograd.grad(out[:, now].sum(), qkv)
    assert known[:, now.start : now.stop, 2].all()
    assert known[:, : now.start, 2].all()
    assert not known[:, now.stop :].any()


def test_one_segment_or_one_frame_is_full_attention(make_case, assert_close):
    case = make_case(7).to(torch.float64)
    full = case.run(
        lambda *qkv: scaled_dot_product_attention(*(x.transpose(0, 1) for x in qkv)).transpose(0, 1)
    )
    one = torch.tensor([0]), torch.tensor([7])
    assert_close(case.run(ragged_attention, *one, 7), full, 1e-13)
    frame = case.run(lambda *qkv: frame_causal_attention(*(x[None] for x in qkv), 7)[0])
    assert_close(frame, full, 1e-13)


def test_gradients_are_those_of_finite_differences(make_case):
    qkv = make_case(14, heads=1, head_dim=3).to(torch.float64).qkv.unbind(1)
    leaves = [x.detach().requires_grad_() for x in qkv]
    assert gradcheck(lambda *x: ragged_attention(*x, STARTS, LENGTHS, 4), leaves)
    assert gradcheck(lambda *x: frame_causal_attention(*(y[None] for y in x), 7), leaves)


def test_only_pairs_that_see_each_other_are_computed_and_without_a_mask(make_case, monkeypatch):
    pairs = []

    def attention(q, k, v):
        pairs.append(q.shape[2] * k.shape[2])
        return scaled_dot_product_attention(q, k, v)

    monkeypatch.setattr(reference, "scaled_dot_product_attention", attention)
    make_case(1, 12).run(frame_causal_attention, 4)
    assert pairs == [4 * 4, 4 * 8, 4 * 12]


@pytest.mark.parametrize("count", [0, 2])
def test_no_tokens_in_segments_is_zero_everywhere(make_case, count):
    none = torch.zeros(count, dtype=torch.int64)
    for result in make_case(5).run(ragged_attention, none, none, 0):
        assert not result.any()


def test_autocast_decides_the_dtype(make_case):
    case = make_case(1, 4)
    q, k, v = case.qkv.unbind(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert frame_causal_attention(q, k, v, 2).dtype == torch.bfloat16
        segment = torch.tensor([0]), torch.tensor([4])
        assert ragged_attention(q[0], k[0], v[0], *segment, 4).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("starts", "lengths", "longest", "message"),
    [
        ([0, 4], [4, 6], 5, "a segment has 6 tokens; longest is 5"),
        ([0], [-1], 5, "a segment has -1 tokens"),
        ([4, 0], [4, 5], 5, "a segment has tokens 4 to 8; free are 5 to 14"),
        ([-1], [4], 5, "a segment has tokens -1 to 3; free are 0 to 14"),
        ([11], [4], 5, "a segment has tokens 11 to 15; free are 0 to 14"),
    ],
)
def test_segments_that_are_none_are_refused(make_case, starts, lengths, longest, message):
    q, k, v = make_case(14).qkv.unbind(1)
    with pytest.raises(ValueError, match=message):
        ragged_attention(q, k, v, torch.tensor(starts), torch.tensor(lengths), longest)


@pytest.mark.parametrize("frame_tokens", [0, 5])
def test_tokens_that_are_not_whole_frames_are_refused(make_case, frame_tokens):
    q, k, v = make_case(1, 12).qkv.unbind(2)
    with pytest.raises(ValueError, match=f"12 tokens are not whole frames of {frame_tokens}"):
        frame_causal_attention(q, k, v, frame_tokens)


@pytest.mark.compile
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # in inductor
def test_torch_compile_takes_them_whole(make_case):
    for case, op, arguments in (
        (make_case(14), ragged_attention, (STARTS, LENGTHS, 4)),
        (make_case(2, 12), frame_causal_attention, (4,)),
    ):
        compiled = torch.compile(op, fullgraph=True)
        for mine, eager in zip(
            case.run(compiled, *arguments), case.run(op, *arguments), strict=True
        ):
            torch.testing.assert_close(mine, eager)

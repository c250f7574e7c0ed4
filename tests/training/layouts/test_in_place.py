import copy

import torch
from torch import nn

from worldmodel_train.protocols import EmaPair
from worldmodel_train.training.layouts.in_place import InPlace
from worldmodel_train.training.optim import ClipGradConfig


def layout(parts: nn.ModuleDict) -> InPlace:
    optimizer = torch.optim.AdamW(parts["student"].parameters(), lr=0.1, fused=True)
    pairs = [EmaPair(student=parts["student"], teacher=parts["teacher"])]
    return InPlace(parts, pairs, optimizer)


def make() -> nn.ModuleDict:
    torch.manual_seed(0)
    student = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    teacher = copy.deepcopy(student).requires_grad_(requires_grad=False)
    return nn.ModuleDict({"student": student, "teacher": teacher})


def test_pieces_are_the_state_and_its_moments_each_whole():
    parts = make()
    pieces = layout(parts).pieces()
    weights = {piece.name: piece.values for piece in pieces if piece.kind == "weights"}
    assert weights.keys() == parts.state_dict().keys()
    for name, tensor in parts.state_dict().items():
        assert torch.equal(weights[name], tensor.flatten())
    moments = [piece.name for piece in pieces if piece.kind == "exp_avg"]
    assert moments == [name for name, _ in parts.named_parameters() if name.startswith("student")]
    assert all(piece.start == 0 and piece.replicated for piece in pieces)


def test_writing_into_a_piece_changes_the_model_and_the_optimizer():
    parts = make()
    made = layout(parts)
    for piece in made.pieces():
        piece.values.fill_(7)
    assert all((tensor == 7).all() for tensor in parts.state_dict().values())
    assert all((moment == 7).all() for moment in made.moments._states[0].values() if moment.ndim)


def test_buffers_follow_by_copy():
    parts = make()
    parts["student"](torch.randn(8, 3))
    layout(parts).update_teachers(0.9)
    for name, buffer in parts["student"].named_buffers():
        assert torch.equal(buffer, dict(parts["teacher"].named_buffers())[name])
    assert parts["teacher"][1].num_batches_tracked == 1


def test_the_norm_is_that_before_clipping_and_is_given_once():
    parts = make()
    made = layout(parts)
    for parameter in parts["student"].parameters():
        parameter.grad = torch.ones_like(parameter)
    count = sum(p.numel() for p in parts["student"].parameters())
    made.clip_gradients(ClipGradConfig(norm=1.0))
    torch.testing.assert_close(made.gradient_norm(), torch.tensor(count**0.5))
    clipped = torch.nn.utils.get_total_norm([p.grad for p in parts["student"].parameters()])
    torch.testing.assert_close(clipped, torch.tensor(1.0), rtol=1e-5, atol=1e-5)
    assert made.gradient_norm() is None


def test_parts_are_clipped_apart_and_the_norm_is_that_of_all_together():
    parts = make()
    parts["predictor"] = nn.Linear(4, 2)
    made = layout(parts)
    sizes = {"student": 3.0, "predictor": 0.1}
    for name, size in sizes.items():
        for parameter in parts[name].parameters():
            parameter.grad = torch.full_like(parameter, size)
    before = [p.grad for name in sizes for p in parts[name].parameters()]
    expected = torch.nn.utils.get_total_norm(before)
    made.clip_gradients(ClipGradConfig(norm=1.0, of="each_part"))
    torch.testing.assert_close(made.gradient_norm(), expected)
    student, predictor = (
        torch.nn.utils.get_total_norm([p.grad for p in parts[name].parameters()]) for name in sizes
    )
    torch.testing.assert_close(student, torch.tensor(1.0), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(predictor, torch.tensor(0.1 * 10**0.5))  # small enough as it was

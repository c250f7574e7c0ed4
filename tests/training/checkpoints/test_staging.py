import pytest
import torch

from worldmodel_train.training.checkpoints.files import tensors_of
from worldmodel_train.training.checkpoints.staging import Staging
from worldmodel_train.training.layouts.layout import Piece

GENERATOR = torch.Generator().manual_seed(0)
SOURCES = [
    torch.randn(3, 5, generator=GENERATOR),
    torch.randn((), generator=GENERATOR),
    torch.randn(6, 4, generator=GENERATOR).T,
    torch.randn(40, generator=GENERATOR).bfloat16(),
    torch.empty(0),
    torch.randn(100, generator=GENERATOR),
    torch.arange(7),
]


@pytest.mark.parametrize("size", [64, 96, 1 << 20])
def test_copies_are_equal_and_outlive_their_source_and_the_buffer(size):
    staging, sources = Staging(size, wait=lambda: None), [x.clone() for x in SOURCES]
    copies = [staging.stage(source) for source in sources]
    staging.flush()
    for source in sources:
        source.zero_()
    later = staging.stage(torch.full((16,), 7.0))
    staging.flush()
    assert later.eq(7).all()
    for copy, source in zip(copies, SOURCES, strict=True):
        assert copy.dtype == source.dtype
        assert torch.equal(copy, source)


def test_many_tensors_take_one_wait():
    waits = []
    staging = Staging(1 << 20, wait=lambda: waits.append(1))
    for source in SOURCES:
        staging.stage(source)
    staging.flush()
    staging.flush()
    assert waits == [1]


@pytest.mark.gpu
def test_pieces_of_a_gpu_are_written_as_they_are():
    values = torch.randn(1000, 300, device="cuda")
    expected = values.cpu()
    piece = Piece(kind="weights", name="w", start=0, values=values.flatten(), replicated=False)
    files = tensors_of([piece], {"w": (1000, 300)}, 0)
    values.zero_()
    (tensors,) = files.values()
    assert torch.equal(tensors["w"], expected)

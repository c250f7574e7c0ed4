import os
import pickle
from io import BytesIO
from multiprocessing.reduction import ForkingPickler

import pytest
import torch

from worldmodel_train.batch import Batch, Origin
from worldmodel_train.data.batch_memory import BatchMemory, Parcel
from worldmodel_train.types import ClipGroup, MaskedClips, Masks

SHAPES = [(2, 4, 8, 8, 3), (1, 8, 8, 8, 3)]
BYTES = 2 * 4 * 8 * 8 * 3 + 8 * 8 * 8 * 3


@pytest.fixture
def memory():
    return BatchMemory(most=3)


def make(memory, value, shapes=SHAPES):
    """A batch full of `value`, as a loading process makes it."""
    masks = Masks(
        context_index=torch.full((2, 5), value),
        target_index=torch.full((2, 1, 3), value),
        target_valid=torch.tensor([[[True, True, False]]]).expand(2, 1, 3),
    )
    groups = tuple(
        ClipGroup(
            clips=clips.fill_(value),
            masks=(masks, masks),
            length_index=number,
            labels=torch.arange(len(clips)) + value,
        )
        for number, clips in enumerate(memory.tensors(shapes))
    )
    return Batch(content=MaskedClips(groups=groups), origin=Origin(first_sample=value))


def send(batch):
    """The batch as the training process receives it."""
    message = BytesIO()
    ForkingPickler(message).dump(Parcel(batch))
    return pickle.loads(message.getbuffer())


def address(batch):
    """Where the loading process has the memory of its batch."""
    return batch.content.groups[0].clips.data_ptr()


def test_a_batch_without_clips_arrives_too():
    found = send(Batch(content=MaskedClips(groups=()), origin=Origin(first_sample=3)))
    assert (found.content.groups, found.origin.first_sample) == ((), 3)


def test_a_batch_arrives_as_it_was_made(memory):
    made = make(memory, 7)
    found = send(made)
    assert found.origin.first_sample == 7
    assert [tuple(group.clips.shape) for group in found.content.groups] == SHAPES
    for ours, theirs in zip(made.content.groups, found.content.groups, strict=True):
        assert torch.equal(ours.clips, theirs.clips)
        assert ours.length_index == theirs.length_index
        assert torch.equal(ours.labels, theirs.labels)
        for mine, other in zip(ours.masks, theirs.masks, strict=True):
            assert torch.equal(mine.context_index, other.context_index)
            assert torch.equal(mine.target_index, other.target_index)
            assert mine.target_valid is not None
            assert other.target_valid is not None
            assert torch.equal(mine.target_valid, other.target_valid)
            assert other.context_valid is None


def test_memory_is_used_again_when_nobody_holds_the_batch(memory):
    first = make(memory, 1)
    received = send(first)
    del received
    assert address(make(memory, 2)) == address(first)


def test_a_batch_that_is_held_is_never_overwritten(memory):
    held = [send(make(memory, value)) for value in range(10)]  # more than the memory keeps
    for value, batch in enumerate(held):
        for group in batch.content.groups:
            assert (group.clips == value).all()


@pytest.mark.parametrize(
    "view",
    [
        lambda batch: batch.content.groups[1].clips[0, :2],
        lambda batch: batch.content.groups[0].clips.numpy()[1:],
        lambda batch: batch.content.groups[0].clips.detach().view(-1),
        lambda batch: memoryview(batch.content.groups[0].clips.numpy()),
        lambda batch: batch.content.groups[1].clips.untyped_storage(),
        lambda batch: batch.map(lambda tensor: tensor),
    ],
)
def test_any_view_keeps_the_memory(memory, view):
    first = make(memory, 1)
    received = send(first)
    kept = view(received)
    del received
    assert address(make(memory, 2)) != address(first)
    del kept
    assert address(make(memory, 3)) == address(first)


def test_a_batch_that_never_arrives_keeps_its_memory_to_itself(memory):
    lost = make(memory, 1)
    assert address(make(memory, 2)) != address(lost)
    assert (lost.content.groups[0].clips == 1).all()


def test_a_fork_that_drops_its_copy_does_not_give_the_memory_back(memory):
    first = make(memory, 1)
    received = send(first)
    child = os.fork()
    if not child:
        del received
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert address(make(memory, 2)) != address(first)
    assert (received.content.groups[0].clips == 1).all()


def test_memory_too_small_for_a_batch_is_replaced(memory):
    send(make(memory, 1, shapes=SHAPES[:1]))
    large = send(make(memory, 2))
    assert large.content.groups[0].clips.untyped_storage().nbytes() == BYTES + 1
    del large
    small = send(make(memory, 3, shapes=SHAPES[:1]))
    assert small.content.groups[0].clips.untyped_storage().nbytes() == BYTES + 1

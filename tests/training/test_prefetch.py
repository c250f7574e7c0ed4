"""Batches come in their order, none before its time, and a GPU gets them while it computes."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from worldmodel_train.training import prefetch
from worldmodel_train.training.prefetch import ArrivingBatch, on_the_way
from worldmodel_train.training.run import pretrain
from worldmodel_train.types import Skip, StreamMark, VideoBatch

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


def test_on_a_cpu_nothing_is_copied_or_wrapped():
    batches = [VideoBatch(groups=(), first_sample=0)]
    assert on_the_way(batches, CPU) is batches


def test_lightning_asks_for_the_next_batch_before_a_step_and_for_no_further_one(toy, tmp_path):
    told = []

    class Told(toy.ToyJepa):
        def training_losses(self, batch):
            told.append(f"step {batch.first_sample // 4}")
            return super().training_losses(batch)

    def asked(step):
        told.append(f"batch {step}")

    pretrain(toy.toy_parts(tmp_path, steps=3, objective=Told, at_batch=asked))
    assert told == ["batch 0", "batch 1", "step 0", "batch 2", "step 1", "batch 3", "step 2"]


@pytest.fixture
def no_gpu(monkeypatch):
    """Streams and events that do nothing."""

    class Event(torch.cuda.Event):
        def __new__(cls):
            return object.__new__(cls)

        def __init__(self):
            """PyTorch without CUDA refuses to make one."""

        def record(self, stream):
            assert stream == "copying"

    cuda = SimpleNamespace(Stream=lambda device: "copying", stream=nullcontext, Event=Event)
    monkeypatch.setattr(prefetch, "torch", SimpleNamespace(cuda=cuda))


@pytest.mark.usefixtures("no_gpu")
def test_batches_keep_their_order_and_what_they_say_and_are_asked_for_one_by_one(toy):
    asked = []

    def loader():
        for first in range(3):
            asked.append(first)
            skip, mark = Skip("truncated", "a.tar", str(first)), StreamMark("web", 4, 0, 1, first)
            batch = toy.make_batch(first, 1, (skip,))
            yield VideoBatch(
                groups=batch.groups, first_sample=first, skipped=(skip,), stream_marks=(mark,)
            )

    for first, batch in enumerate(prefetch._copied(loader(), CPU)):
        assert asked == list(range(first + 1))
        assert isinstance(batch, ArrivingBatch)
        assert (batch.first_sample, batch.skipped[0].key) == (first, str(first))
        assert batch.stream_marks[0].finished == first
        assert torch.equal(batch.groups[0].clips, toy.make_batch(first, 1).groups[0].clips)
    assert asked == [0, 1, 2]


@pytest.mark.gpu
def test_values_arrive_whole_however_late_the_copy_is(toy):
    """The copying stream is held up, and the computing one has to wait for it."""
    sent = [toy.make_batch(first, 64).pin_memory() for first in (0, 64, 128)]
    batches = iter(on_the_way(sent, CUDA))
    for original in sent:
        arriving = next(batches)
        torch.cuda._sleep(10_000_000)
        used = arriving.to(CUDA)
        assert used.groups[0].clips.is_cuda
        assert torch.equal(used.groups[0].clips.cpu(), original.groups[0].clips)
        masks, expected = used.groups[0].masks[0], original.groups[0].masks[0]
        assert torch.equal(masks.target_index.cpu(), expected.target_index)


@pytest.mark.gpu
def test_the_copy_runs_on_another_stream_while_the_device_computes(toy):
    batches = iter(on_the_way([toy.make_batch(0, 64).pin_memory()], CUDA))
    torch.cuda.synchronize()
    torch.cuda._sleep(2_000_000_000)  # about a second on the stream that computes
    computed = torch.cuda.current_stream().record_event()
    arriving = next(batches)
    arriving.copied.synchronize()
    assert not computed.query()
    arriving.to(CUDA)
    torch.cuda.synchronize()


@pytest.mark.gpu
def test_the_memory_of_a_batch_in_use_is_not_given_to_a_later_copy(toy):
    sent = [toy.make_batch(first, 64).pin_memory() for first in range(0, 64 * 6, 64)]
    sums, batches = [], iter(on_the_way(sent, CUDA))
    for _ in sent:
        used = next(batches).to(CUDA)
        torch.cuda._sleep(20_000_000)
        sums.append(used.groups[0].clips.long().sum())  # runs after the next copies have begun
        del used
    assert [int(one) for one in sums] == [int(b.groups[0].clips.long().sum()) for b in sent]

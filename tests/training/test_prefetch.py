"""Batches come in their order, none before its time, and a GPU gets them while it computes."""

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from tests.training import toy_run as toy
from worldmodel_train.batch import Batch, Origin, Skip, StreamMark
from worldmodel_train.training import prefetch
from worldmodel_train.training.prefetch import ArrivingBatch, on_the_way
from worldmodel_train.training.run import pretrain
from worldmodel_train.types import MaskedClips

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


def test_on_a_cpu_nothing_is_copied_or_wrapped():
    batches = [Batch(content=MaskedClips(groups=()), origin=Origin(first_sample=0))]
    assert on_the_way(batches, CPU) is batches


def test_lightning_asks_for_the_next_batch_before_a_step_and_for_no_further_one(tmp_path):
    told = []

    class Told(toy.ToyJepa):
        def training_losses(self, content):
            told.append("step")
            return super().training_losses(content)

    def asked(step):
        told.append(f"batch {step}")

    pretrain(toy.toy_parts(tmp_path, steps=3, objective=Told, at_batch=asked))
    assert told == ["batch 0", "batch 1", "step", "batch 2", "step", "batch 3", "step"]


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
def test_batches_keep_their_order_and_what_they_say_and_are_asked_for_one_by_one():
    asked = []

    def loader():
        for first in range(3):
            asked.append(first)
            skip, mark = Skip("truncated", "a.tar", str(first)), StreamMark("web", 4, 0, 1, first)
            origin = Origin(first_sample=first, skipped=(skip,), stream_marks=(mark,))
            yield replace(toy.make_batch(first, 1), origin=origin)

    for first, batch in enumerate(prefetch._copied(loader(), CPU)):
        assert asked == list(range(first + 1))
        assert isinstance(batch, ArrivingBatch)
        assert (batch.origin.first_sample, batch.origin.skipped[0].key) == (first, str(first))
        assert batch.origin.stream_marks[0].finished == first
        assert torch.equal(
            batch.content.groups[0].clips, toy.make_batch(first, 1).content.groups[0].clips
        )
    assert asked == [0, 1, 2]


@pytest.mark.gpu
def test_values_arrive_whole_however_late_the_copy_is():
    """The copying stream is held up, and the computing one has to wait for it."""
    sent = [toy.make_batch(first, 64).pin_memory() for first in (0, 64, 128)]
    batches = iter(on_the_way(sent, CUDA))
    for original in sent:
        arriving = next(batches)
        torch.cuda._sleep(10_000_000)
        used = arriving.to(CUDA)
        assert used.content.groups[0].clips.is_cuda
        assert torch.equal(used.content.groups[0].clips.cpu(), original.content.groups[0].clips)
        masks, expected = used.content.groups[0].masks[0], original.content.groups[0].masks[0]
        assert torch.equal(masks.target_index.cpu(), expected.target_index)


@pytest.mark.gpu
def test_the_copy_runs_on_another_stream_while_the_device_computes():
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
def test_the_memory_of_a_batch_in_use_is_not_given_to_a_later_copy():
    sent = [toy.make_batch(first, 64).pin_memory() for first in range(0, 64 * 6, 64)]
    sums, batches = [], iter(on_the_way(sent, CUDA))
    for _ in sent:
        used = next(batches).to(CUDA)
        torch.cuda._sleep(20_000_000)
        sums.append(
            used.content.groups[0].clips.long().sum()
        )  # runs after the next copies have begun
        del used
    assert [int(one) for one in sums] == [int(b.content.groups[0].clips.long().sum()) for b in sent]

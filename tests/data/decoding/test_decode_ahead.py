"""What is decoded ahead comes in order, from processes that a video may kill."""

import threading

import numpy as np
import pytest

from worldmodel_train.data.config import DecoderConfig
from worldmodel_train.data.decoding.decode import DecodeError
from worldmodel_train.data.decoding.decode_ahead import decode_ahead
from worldmodel_train.data.decoding.decode_process import DecodeProcess

CONFIG = DecoderConfig(timeout_s=20)


def test_items_are_worked_on_at_once_and_come_in_their_order():
    at_work, first_may_end = threading.Barrier(2), threading.Event()

    def work(_, item):
        if item < 2:
            at_work.wait(20)  # breaks unless both are worked on
        if item == 0:
            assert first_may_end.wait(20)
        if item == 1:
            first_may_end.set()
        return item

    assert list(decode_ahead(range(7), work, CONFIG, processes=2)) == list(range(7))


@pytest.mark.parametrize("processes", [0, 1, 3])
def test_no_more_are_taken_than_are_worked_on(processes):
    taken = []
    items = (taken.append(item) or item for item in range(9))
    made = decode_ahead(items, lambda _, item: item, CONFIG, processes=processes)
    for number in range(1, 4):
        next(made)
        assert len(taken) == number + processes
    made.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("decoding")]


def test_each_thread_has_a_decoder_of_its_own_which_is_closed_at_the_end(monkeypatch):
    opened, closed = [], []
    monkeypatch.setattr(DecodeProcess, "__enter__", lambda one: opened.append(one) or one)
    monkeypatch.setattr(DecodeProcess, "__exit__", lambda one, *_: closed.append(one))
    together = threading.Barrier(2)

    def work(decoder, item):
        together.wait(20)
        return decoder

    decoders = list(decode_ahead(range(6), work, CONFIG, processes=2))
    assert len({*map(id, decoders)}) == 2
    assert {*map(id, opened)} == {*map(id, closed)} == {*map(id, decoders)}


def test_an_error_is_the_callers_and_leaves_no_thread():
    def work(_, item):
        raise ChildProcessError(f"no memory at {item}")

    with pytest.raises(ChildProcessError, match="no memory at 0"):
        list(decode_ahead(range(5), work, CONFIG, processes=2))
    assert not [one for one in threading.enumerate() if one.name.startswith("decoding")]


@pytest.mark.slow
def test_a_video_that_kills_its_decoder_costs_no_other(make_video, make_request):
    videos = [make_video(4), b"exit", make_video(4), make_video(4)]
    request = make_request()

    def work(decoder, video):
        if video == b"exit":
            decoder.decode(videos[0], request)
            decoder._child.kill()  # as the kernel does where memory is short
            with pytest.raises(DecodeError):
                decoder._ask(video, {}, [np.empty(4, np.uint8)], [1])
            return None
        return decoder.decode(video, request).times.shape

    made = list(decode_ahead(videos, work, CONFIG, processes=2))
    assert made == [(4,), None, (4,), (4,)]

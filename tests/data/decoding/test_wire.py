import json
import socket
import struct
from dataclasses import replace

import pytest

from worldmodel_train.data.decoding.crop import Crop, MovingCrop, ShortSideCrop
from worldmodel_train.data.decoding.decode import ExactFrames
from worldmodel_train.data.decoding.frame_steps import FrameSteps
from worldmodel_train.data.decoding.wire import Peer, pack_request, unpack_request


@pytest.fixture
def line():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Peer(ours), theirs


def test_a_message_and_its_body_arrive(line):
    near, far = line[0], Peer(line[1])
    near.send({"a": 1.5}, b"body")
    message, size = far.receive()
    body = bytearray(size)
    far.receive_into(memoryview(body))
    assert (message, bytes(body)) == ({"a": 1.5}, b"body")


def test_a_request_survives_json(make_request):
    request = make_request(
        size=(96, 160),
        crop=Crop(shapes=((0.3, 1.2), (0.5, 0.8)), x=0.1, y=0.9, flip=True, stretch=(0.5, 2.0)),
    )
    exact = replace(request, exact=ExactFrames(numbers=(0, 3, 6, 9), length=12))
    published = replace(
        request,
        crop=ShortSideCrop(short_side=292, view=1, views=3),
        steps=FrameSteps(step=4, segment=2, segments=8),
    )
    moving = replace(request, crop=MovingCrop(first=request.crop, last=Crop(shapes=((0.2, 1.0),))))
    for sent in (request, exact, published, moving):
        assert unpack_request(json.loads(json.dumps(pack_request(sent)))) == sent


def test_silence_ends_in_a_timeout(line):
    line[0].set_timeout(0.05)
    with pytest.raises(TimeoutError):
        line[0].receive()


@pytest.mark.parametrize("text", [b"[]", b"[" * 9000, b'{"a": ' * 9000, b"\xff", b"9" * 9000])
def test_a_message_that_is_no_mapping_is_refused(line, text):
    line[1].sendall(struct.pack(">IQ", len(text), 0) + text)
    with pytest.raises(ConnectionError, match="message"):
        line[0].receive()


def test_a_message_that_is_too_long_is_refused(line):
    line[1].sendall(struct.pack(">IQ", 1 << 31, 0))
    with pytest.raises(ConnectionError, match="message"):
        line[0].receive()


def test_a_closed_line_is_an_error(line):
    line[1].close()
    with pytest.raises(ConnectionError, match="closed"):
        line[0].receive()

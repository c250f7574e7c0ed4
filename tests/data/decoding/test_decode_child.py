import socket
import threading
import tracemalloc

import pytest

from worldmodel_train.data.decoding.decode_child import _receive_bytes
from worldmodel_train.data.decoding.wire import Peer


def received(content):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=theirs.sendall, args=(content,))
        sender.start()
        video = _receive_bytes(Peer(ours), len(content))
        sender.join()
    return video


@pytest.mark.parametrize("size", [0, 1, 2, 1_000_003])
def test_a_video_arrives(size):
    content = bytes(i % 251 for i in range(size))
    assert received(content) == content


def test_a_video_lies_in_memory_once():
    content = bytes(8 << 20)
    tracemalloc.start()
    try:
        assert received(content) == content
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * len(content)

"""The decoding process: `python -m worldmodel_train.data.decoding.decode_child FD DECODER`.

Reads requests from the socket FD until it closes. It imports no torch, so that starting it again
after it had to be killed is cheap.
"""

import faulthandler
import os
import signal
import socket
import sys

import cv2
import numpy as np

from worldmodel_train.data.decoding.auto_decoder import make_decoder
from worldmodel_train.data.decoding.decode import DecodeError, Decoder
from worldmodel_train.data.decoding.wire import Message, Peer, unpack_request


def serve(peer: Peer, decoder: Decoder) -> None:
    """Answers requests until the line closes."""
    peer.send({"ready": True})
    while True:
        try:
            message, body_bytes = peer.receive()
            video = bytearray(body_bytes)
            peer.receive_into(memoryview(video))
        except ConnectionError:
            return
        # A decoder that hangs may hold the GIL. The parent kills this process then; if the parent
        # has died itself, this watchdog, a thread that needs no GIL, ends the process.
        faulthandler.dump_traceback_later(2 * message.pop("timeout_s"), exit=True)
        answer, clips = _answer(decoder, bytes(video), message)
        faulthandler.cancel_dump_traceback_later()
        peer.send(answer, *clips)


def _answer(decoder: Decoder, video: bytes, message: Message) -> tuple[Message, list[memoryview]]:
    try:
        decoded = decoder.decode_clips(video, [unpack_request(r) for r in message["requests"]])
    except DecodeError as error:
        return {"reason": error.reason, "detail": error.detail[:500]}, []
    except MemoryError:
        return {"reason": "out_of_memory", "detail": ""}, []
    clips = [np.ascontiguousarray(each.clip).data.cast("B") for each in decoded]
    return {"decoder": decoded[0].decoder}, clips


def main() -> None:
    """Serves one loader."""
    line, name = int(sys.argv[1]), sys.argv[2]
    # Signals to the whole job end the run after a save, for which clips are still needed; this
    # process ends when its line closes.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    # decord gives up at the end of a file after this many polls of its decoding thread. 64 is
    # lost in a race on healthy files; what hangs regardless is killed by the parent.
    os.environ.setdefault("DECORD_EOF_RETRY_MAX", "10240")
    cv2.setNumThreads(1)
    serve(Peer(socket.socket(fileno=line)), make_decoder(name))


if __name__ == "__main__":
    main()

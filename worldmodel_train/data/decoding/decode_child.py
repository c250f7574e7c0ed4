"""The decoding process: `python -m ...decoding.decode_child FD MEMORY DECODER MEBIBYTES`.

Reads requests from the socket FD until it closes, and writes clips into the file MEMORY. It imports
no torch, so that starting it again after it had to be killed is cheap.
"""

import faulthandler
import os
import signal
import socket
import sys
from io import BytesIO

import cv2
import numpy as np

from worldmodel_train.data.confinement import (
    OUT_OF_MEMORY,
    end_with_parent,
    limit_files,
    limit_memory,
)
from worldmodel_train.data.decoding.auto_decoder import make_decoder
from worldmodel_train.data.decoding.clip_memory import ClipMemory
from worldmodel_train.data.decoding.decode import DecodeError, Decoder
from worldmodel_train.data.decoding.sound import decode_sound
from worldmodel_train.data.decoding.wire import (
    Message,
    Peer,
    unpack_request,
    unpack_sound_request,
)

_LOG_BYTES = 1 << 20  # of what libraries print about a video, which some do for every packet


def serve(peer: Peer, memory: ClipMemory, decoder: Decoder) -> None:
    """Answers requests until the line closes."""
    peer.send({"ready": True})
    while True:
        try:
            message, body_bytes = peer.receive()
            video = _receive_bytes(peer, body_bytes)
        except ConnectionError:
            return
        # A decoder that hangs may hold the GIL. The parent kills this process then; if the parent
        # has died itself and the kernel did not tell, this watchdog, a thread that needs no GIL,
        # ends the process.
        faulthandler.dump_traceback_later(2 * message.pop("timeout_s"), exit=True)
        answer, numbers = _answer(decoder, video, message, memory)
        faulthandler.cancel_dump_traceback_later()
        peer.send(answer, numbers)


def _receive_bytes(peer: Peer, count: int) -> bytes:
    """The next `count` bytes, which lie in memory once: a BytesIO gives its own away."""
    file = BytesIO()
    file.seek(max(0, count - 1))
    file.write(bytes(min(1, count)))
    with file.getbuffer() as view:
        peer.receive_into(view)
    return file.getvalue()


def _answer(
    decoder: Decoder, file: bytes, message: Message, memory: ClipMemory
) -> tuple[Message, bytes]:
    """Who filled the memory, and the numbers to that; or the reason why there is nothing in it."""
    try:
        if "sound" in message:
            return _sound(file, message["sound"], memory)
        return _clips(decoder, file, message["requests"], memory)
    except DecodeError as error:
        return {"reason": error.reason, "detail": error.detail[:500]}, b""
    except (MemoryError, cv2.error) as error:
        if isinstance(error, cv2.error) and error.code != cv2.Error.StsNoMem:
            raise
        return {"reason": OUT_OF_MEMORY, "detail": str(error)[:500]}, b""


def _clips(
    decoder: Decoder, video: bytes, packed: list[Message], memory: ClipMemory
) -> tuple[Message, bytes]:
    """Clips, and the times of all their pictures."""
    requests = [unpack_request(request) for request in packed]
    decoded = decoder.decode_into(video, requests, memory.arrays([r.shape for r in requests]))
    return {"decoder": decoded.decoder}, np.concatenate(decoded.times).tobytes()


def _sound(recording: bytes, packed: Message, memory: ClipMemory) -> tuple[Message, bytes]:
    """Sound, and how many samples of it were recorded."""
    request = unpack_sound_request(packed)
    (shared,) = memory.arrays([(request.samples * np.dtype(np.float32).itemsize,)])
    heard = decode_sound(recording, request, shared.view(np.float32))
    return {"decoder": "pyav"}, np.array([heard], dtype=np.float64).tobytes()


def main() -> None:
    """Serves one loader."""
    line, memory, name, mebibytes = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    end_with_parent()
    # Signals to the whole job end the run after a save, for which clips are still needed; this
    # process ends when its line closes.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # decord gives up at the end of a file after this many polls of its decoding thread. 64 is
    # lost in a race on healthy files; what hangs regardless is killed by the parent.
    os.environ.setdefault("DECORD_EOF_RETRY_MAX", "10240")
    cv2.setNumThreads(1)
    decoder = make_decoder(name)
    limit_files(_LOG_BYTES)
    limit_memory(int(mebibytes))
    serve(Peer(socket.socket(fileno=line)), ClipMemory(memory), decoder)


if __name__ == "__main__":
    main()

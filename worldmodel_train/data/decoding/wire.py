"""Length-prefixed messages between a loader and its decoding process: JSON, then raw bytes.

JSON and not pickle: a process that has touched a stranger's video is not trusted with more than
the bytes of the clip it was asked for, and when its pictures are shown.
"""

import json
import socket
import struct
import time
from typing import Any

from worldmodel_train.data.decoding.crop import AnyCrop, Crop, MovingCrop, ShortSideCrop
from worldmodel_train.data.decoding.decode import ClipRequest, ExactFrames
from worldmodel_train.data.decoding.frame_steps import FrameSteps
from worldmodel_train.data.decoding.sound import SoundRequest
from worldmodel_train.facts import FrameSize

_HEAD = struct.Struct(">IQ")  # bytes of JSON, bytes of body
_JSON_LIMIT = 1 << 20

Message = dict[str, Any]


class Peer:
    """One end of the line; every call ends by the deadline or raises TimeoutError."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._deadline: float | None = None

    def set_timeout(self, seconds: float | None) -> None:
        """Starts the clock for the calls that follow; None waits forever."""
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def send(self, message: Message, body: bytes = b"") -> None:
        """Sends a message and its body."""
        text = json.dumps(message).encode()
        for part in (_HEAD.pack(len(text), len(body)) + text, body):
            self._line.settimeout(self._remaining())
            self._line.sendall(part)

    def receive(self) -> tuple[Message, int]:
        """The next message and the number of bytes of its body, which is still to be read."""
        head = bytearray(_HEAD.size)
        self.receive_into(memoryview(head))
        text_bytes, body_bytes = _HEAD.unpack(head)
        if text_bytes > _JSON_LIMIT:
            raise ConnectionError(f"message of {text_bytes} bytes")
        text = bytearray(text_bytes)
        self.receive_into(memoryview(text))
        try:
            message = json.loads(bytes(text))
        except (ValueError, RecursionError) as error:
            raise ConnectionError(f"message is no JSON: {error}") from error
        if not isinstance(message, dict):
            raise ConnectionError(f"message is a {type(message).__name__}")
        return message, body_bytes

    def receive_into(self, view: memoryview) -> None:
        """Fills `view`; raises ConnectionError if the other end is gone."""
        filled = 0
        while filled < len(view):
            self._line.settimeout(self._remaining())
            count = self._line.recv_into(view[filled:])
            if count == 0:
                raise ConnectionError("the other end closed the line")
            filled += count

    def close(self) -> None:
        """Closes this end."""
        self._line.close()

    def _remaining(self) -> float | None:
        if self._deadline is None:
            return None
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        return remaining


def pack_request(request: ClipRequest) -> Message:
    """The request as JSON can carry it."""
    exact = request.exact and vars(request.exact)  # asdict copies numbers
    steps = request.steps and vars(request.steps)
    crop = vars(request.crop)
    if isinstance(request.crop, MovingCrop):
        crop = {**crop, "first": vars(request.crop.first), "last": vars(request.crop.last)}
    return {**vars(request), "crop": crop, "exact": exact, "steps": steps}


def unpack_request(message: Message) -> ClipRequest:
    """The request that `pack_request` packed."""
    exact = message["exact"]
    if exact is not None:
        exact = ExactFrames(numbers=tuple(exact["numbers"]), length=exact["length"])
    steps = message["steps"] and FrameSteps(**message["steps"])
    size, crop = FrameSize(*message["size"]), _crop(message["crop"])
    return ClipRequest(**{**message, "size": size, "crop": crop, "exact": exact, "steps": steps})


def pack_sound_request(request: SoundRequest) -> Message:
    """The request as JSON can carry it."""
    return vars(request)


def unpack_sound_request(message: Message) -> SoundRequest:
    """The request that `pack_sound_request` packed."""
    return SoundRequest(**message)


def _crop(message: Message) -> AnyCrop:
    if "short_side" in message:
        return ShortSideCrop(**message)
    if "first" in message:
        first, last = _still_crop(message["first"]), _still_crop(message["last"])
        return MovingCrop(**{**message, "first": first, "last": last})
    return _still_crop(message)


def _still_crop(message: Message) -> Crop:
    shapes = tuple((area, stretch) for area, stretch in message["shapes"])
    return Crop(**{**message, "shapes": shapes, "stretch": tuple(message["stretch"])})

"""Decoding in a process of its own, which can be killed when a video hangs or crashes it."""

import logging
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence

import numpy as np

from worldmodel_train.data.config import DecoderConfig
from worldmodel_train.data.decoding.decode import ClipRequest, DecodedClip, DecodeError
from worldmodel_train.data.decoding.wire import Peer, pack_request

_log = logging.getLogger(__name__)

_START_TIMEOUT = 120.0  # seconds; imports are slow on a busy network file system
_CHILD = (sys.executable, "-m", "worldmodel_train.data.decoding.decode_child")


class DecodeProcess:
    """A decoder in a child process; the child starts at first use and again after a kill."""

    def __init__(self, config: DecoderConfig, *, command: Sequence[str] = _CHILD) -> None:
        self._config = config
        self._command = tuple(command)
        self._child: subprocess.Popen[bytes] | None = None
        self._peer: Peer | None = None
        self._owner = os.getpid()
        self.fallbacks: Counter[str] = Counter()
        """How often `auto` turned to its second decoder, by reason."""

    def decode(self, video: bytes, request: ClipRequest) -> DecodedClip:
        """The clip asked for; raises DecodeError, also when the child hung or crashed."""
        peer = self._peer or self._start()
        peer.set_timeout(self._config.timeout_s)
        try:
            peer.send({**pack_request(request), "timeout_s": self._config.timeout_s}, video)
            answer, body_bytes = peer.receive()
            if "reason" in answer:
                raise DecodeError(str(answer["reason"]), str(answer.get("detail", "")))
            clip = np.empty(request.shape, dtype=np.uint8)
            if body_bytes != clip.nbytes:
                raise ConnectionError(f"{body_bytes} bytes in place of {clip.nbytes}")
            peer.receive_into(clip.data.cast("B"))
        except TimeoutError:
            self.close()
            detail = f"no clip within decoder.timeout_s={self._config.timeout_s:g}"
            raise DecodeError("decode_timeout", detail) from None
        except (ConnectionError, ValueError) as error:
            raise DecodeError("decoder_crashed", f"{error}; exit status {self.close()}") from error
        fallback = str(answer.get("fallback", ""))
        self._note(fallback)
        return DecodedClip(clip=clip, decoder=str(answer.get("decoder", "")), fallback=fallback)

    def close(self) -> int | None:
        """Kills the child; its exit status, None if there was no child."""
        child, self._child = self._child, None
        if self._peer is not None:
            self._peer.close()
            self._peer = None
        if child is None or self._owner != os.getpid():
            return None  # in a fork the child is the other process's
        try:
            child.wait(timeout=0.2)  # a crashed child keeps its own status
        except subprocess.TimeoutExpired:
            child.kill()
        return child.wait()

    def __enter__(self) -> "DecodeProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def __getstate__(self) -> dict[str, object]:
        """A process does not travel: the copy starts its own."""
        return {**self.__dict__, "_child": None, "_peer": None}

    def _start(self) -> Peer:
        ours, theirs = socket.socketpair()
        command = [*self._command, str(theirs.fileno()), self._config.name]
        with theirs:
            self._child = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        self._owner = os.getpid()
        self._peer = Peer(ours)
        self._peer.set_timeout(_START_TIMEOUT)
        try:
            self._peer.receive()
        except (ConnectionError, TimeoutError) as error:
            status = self.close()
            raise RuntimeError(
                f"the decoding process did not start (exit status {status}); see why with: "
                f"{' '.join(self._command)}"
            ) from error
        return self._peer

    def _note(self, fallback: str) -> None:
        if not fallback:
            return
        reason = fallback.split(":", 1)[0]
        self.fallbacks[reason] += 1
        count = self.fallbacks[reason]
        if count in (1, 10, 100) or count % 1000 == 0:
            level = logging.WARNING if count == 1 else logging.INFO
            _log.log(level, "PyAV decoded in decord's place (%d times): %s", count, fallback)

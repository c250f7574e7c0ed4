"""Decoding in a process of its own, which can be killed when a video hangs or crashes it."""

import logging
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import IO

from worldmodel_train.data.config import DecoderConfig
from worldmodel_train.data.decoding.clip_memory import ClipMemory
from worldmodel_train.data.decoding.decode import (
    ClipArray,
    ClipRequest,
    DecodedClip,
    DecodeError,
    decode_with,
)
from worldmodel_train.data.decoding.wire import Peer, pack_request

_log = logging.getLogger(__name__)

_START_TIMEOUT = 120.0  # seconds; imports are slow on a busy network file system
_MOST_LOST = 3  # videos in a row; the fourth would be lost as well
# -P: a python file in the folder where training was started is not the child's to import
_CHILD = (sys.executable, "-P", "-m", "worldmodel_train.data.decoding.decode_child")


class DecoderBrokenError(ValueError):
    """The decoder gives no answer whatever the video."""


class _LostError(DecodeError):
    """The child gave no answer and was killed."""


class DecodeProcess:
    """A decoder in a child process; the child starts at first use and again after a kill."""

    def __init__(self, config: DecoderConfig, *, command: Sequence[str] = _CHILD) -> None:
        self._config = config
        self._command = tuple(command)
        self._child: subprocess.Popen[bytes] | None = None
        self._line: tuple[Peer, ClipMemory] | None = None
        self._stderr: IO[bytes] | None = None
        self._last_words = ""  # of the child closed last
        self._owner = os.getpid()
        self._lost: set[int] = set()  # videos without an answer since the last one

    def decode(self, video: bytes, request: ClipRequest) -> DecodedClip:
        """The clip asked for; raises what `decode_into` raises."""
        return decode_with(self, video, request)

    def decode_into(
        self, video: bytes, requests: Sequence[ClipRequest], clips: Sequence[ClipArray]
    ) -> str:
        """Fills the clips; raises DecodeError, also when the child hung or crashed twice.

        Raises DecoderBrokenError once the child was lost to three videos in a row.
        """
        try:
            decoder = self._ask_twice(video, requests, clips)
        except _LostError as lost:
            self._note_lost(video, lost)
            raise
        except DecodeError:
            self._lost.clear()
            raise
        self._lost.clear()
        return decoder

    def _ask_twice(
        self, video: bytes, requests: Sequence[ClipRequest], clips: Sequence[ClipArray]
    ) -> str:
        """Asks a fresh child once more, so that a busy machine does not change the sample."""
        try:
            return self._ask(video, requests, clips)
        except _LostError as lost:
            _log.warning("killed the decoding process: %s", lost)
            try:
                return self._ask(video, requests, clips)
            except _LostError:
                raise lost from None

    def _ask(
        self, video: bytes, requests: Sequence[ClipRequest], clips: Sequence[ClipArray]
    ) -> str:
        peer, memory = self._line or self._start()
        self._clear_stderr()
        shared = memory.arrays([request.shape for request in requests])
        timeout_s = self._config.timeout_s * len(requests)
        peer.set_timeout(timeout_s)
        answered = False
        try:
            packed = [pack_request(request) for request in requests]
            peer.send({"requests": packed, "timeout_s": timeout_s}, video)
            answer, body_bytes = peer.receive()
            answered = True
            if "reason" in answer:
                raise DecodeError(str(answer["reason"]), str(answer.get("detail", "")))
            if body_bytes or "decoder" not in answer:
                raise ConnectionError(f"{body_bytes} bytes and no word of the clips")
        except TimeoutError:
            self.close()
            detail = f"no clip within decoder.timeout_s={self._config.timeout_s:g}"
            raise _LostError("decode_timeout", detail) from None
        except (ConnectionError, ValueError) as error:
            detail = f"{error}; exit status {self.close()}"
            raise _LostError("decoder_crashed", f"{detail}; {self._last_words}") from error
        finally:
            if not answered:  # or the next question would get this answer
                self.close()
        for clip, made in zip(clips, shared, strict=True):
            clip[...] = made
        return str(answer["decoder"])

    def close(self) -> int | None:
        """Kills the child; its exit status, None if there was no child."""
        child, self._child = self._child, None
        if self._line is not None:
            for end in self._line:
                end.close()
            self._line = None
        stderr, self._stderr = self._stderr, None
        if child is None or stderr is None:
            return None
        with stderr:
            if self._owner != os.getpid():
                return None  # in a fork the child is the other process's
            try:
                child.wait(timeout=0.2)  # a crashed child keeps its own status
            except subprocess.TimeoutExpired:
                child.kill()
            status = child.wait()
            self._last_words = _last_line(stderr)
        return status

    def __enter__(self) -> "DecodeProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def __getstate__(self) -> dict[str, object]:
        """A process does not travel: the copy starts its own."""
        return {**self.__dict__, "_child": None, "_line": None, "_stderr": None}

    def _start(self) -> tuple[Peer, ClipMemory]:
        ours, theirs = socket.socketpair()
        peer, memory = self._line = Peer(ours), ClipMemory()
        inherited = theirs.fileno(), memory.descriptor
        command = [*self._command, *map(str, inherited), self._config.name]
        with theirs:
            self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # read after the child's death
            self._child = subprocess.Popen(
                command,
                pass_fds=inherited,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        self._owner = os.getpid()
        peer.set_timeout(_START_TIMEOUT)
        try:
            peer.receive()
        except (ConnectionError, TimeoutError) as error:
            status = self.close()
            raise RuntimeError(
                f"the decoding process did not start (exit status {status}; "
                f"{self._last_words}); see why with: {' '.join(self._command)}"
            ) from error
        return peer, memory

    def _clear_stderr(self) -> None:
        """Forget what earlier videos made the child say; it writes at the same offset."""
        assert self._stderr is not None
        self._stderr.seek(0)
        self._stderr.truncate()

    def _note_lost(self, video: bytes, lost: _LostError) -> None:
        self._lost.add(hash(video))
        if len(self._lost) >= _MOST_LOST:
            what = "timed out" if lost.reason == "decode_timeout" else "crashed"
            raise DecoderBrokenError(
                f"decoding {what} on {len(self._lost)} videos in a row: machine overloaded or "
                "decoder broken; raise data.decoder.timeout_s, use fewer data.loader.workers, or "
                f"try another data.decoder.name ({lost.detail})"
            ) from lost


def _last_line(stderr: IO[bytes]) -> str:
    """The last line written to this file."""
    stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - 4096))
    lines = stderr.read().decode(errors="replace").splitlines()
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "no message")

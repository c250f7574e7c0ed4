"""Decoding in a process of its own, which can be killed when a video hangs or crashes it."""

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import IO

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8

from worldmodel_train.config.printable import printable
from worldmodel_train.data.config import DecoderConfig
from worldmodel_train.data.confinement import OUT_OF_MEMORY
from worldmodel_train.data.decoding.clip_memory import ClipMemory
from worldmodel_train.data.decoding.decode import (
    CRASHED,
    TIMED_OUT,
    WITHOUT_ANSWER,
    ClipArray,
    ClipRequest,
    Decoded,
    DecodedClip,
    DecodeError,
    decode_with,
    tells_of_no_memory,
)
from worldmodel_train.data.decoding.sound import SoundRequest
from worldmodel_train.data.decoding.wire import Message, Peer, pack_request, pack_sound_request

_log = logging.getLogger(__name__)

_START_TIMEOUT = 120.0  # seconds; imports are slow on a busy network file system
_Bytes = UInt8[np.ndarray, "..."]
_WORD = re.compile("[a-z][a-z0-9_]{0,39}")
# -P: a python file in the folder where training was started is not the child's to import
_CHILD = (sys.executable, "-P", "-m", "worldmodel_train.data.decoding.decode_child")


class DecodeProcess:
    """A decoder in a child process; the child starts at first use and again after a kill."""

    def __init__(self, config: DecoderConfig, *, command: Sequence[str] = _CHILD) -> None:
        self._config = config
        self._command = tuple(command)
        self._child: subprocess.Popen[bytes] | None = None
        self._line: tuple[Peer, ClipMemory] | None = None
        self._stderr: IO[bytes] | None = None
        self._last_words, self._killed = "", False  # of the child closed last
        self._owner = os.getpid()

    def decode(self, video: bytes, request: ClipRequest) -> DecodedClip:
        """The clip asked for; raises what `decode_into` raises."""
        return decode_with(self, video, request)

    def decode_into(
        self, video: bytes, requests: Sequence[ClipRequest], clips: Sequence[ClipArray]
    ) -> Decoded:
        """Fills the clips; raises DecodeError, also when the child hung, crashed or grew twice.

        A fresh child is asked once more, so that neither a busy machine nor what earlier videos
        left in memory changes the sample.
        """
        question = {"requests": [pack_request(request) for request in requests]}
        return self._ask_twice(video, question, clips, [request.frames for request in requests])

    def decode_sound(
        self, recording: bytes, request: SoundRequest, sound: Float32[np.ndarray, "s"]
    ) -> int:
        """Fills `sound`; how many samples of it were recorded. Raises what `decode_into` raises."""
        question = {"sound": pack_sound_request(request)}
        decoded = self._ask_twice(recording, question, [sound.view(np.uint8)], [1])
        return _count(decoded.times[0], most=len(sound))

    def _ask_twice(
        self, file: bytes, question: Message, targets: Sequence[_Bytes], counts: Sequence[int]
    ) -> Decoded:
        try:
            return self._ask(file, question, targets, counts)
        except DecodeError as error:
            if error.reason not in WITHOUT_ANSWER:
                raise
            _log.warning("a fresh decoding process tries again: %s", error)
            return self._ask(file, question, targets, counts)

    def _ask(
        self, file: bytes, question: Message, targets: Sequence[_Bytes], counts: Sequence[int]
    ) -> Decoded:
        """Fills the targets; the answer has so many numbers for each."""
        peer, memory = self._line or self._start()
        self._clear_stderr()
        shared = memory.arrays([target.shape for target in targets])
        timeout_s = self._config.timeout_s * len(targets)
        peer.set_timeout(timeout_s)
        answered = False
        try:
            peer.send({**question, "timeout_s": timeout_s}, file)
            decoded = _receive_decoded(peer, counts)
            answered = True
        except TimeoutError:
            detail = f"no clip within data.decoder.timeout_s={self._config.timeout_s:g}"
            raise DecodeError(TIMED_OUT, detail) from None
        except ConnectionError as error:
            raise self._loss(str(error)) from error
        except DecodeError as error:
            if error.reason == OUT_OF_MEMORY:  # what is left of it is not known
                raise self._no_memory(error.detail) from error
            answered = True
            raise
        finally:
            if not answered:  # or the next question would get this answer
                self.close()
        for target, made in zip(targets, shared, strict=True):
            target[...] = made
        return decoded

    def _loss(self, how: str) -> DecodeError:
        """What became of a child that gave no answer, or none that makes sense."""
        status = self.close()
        if status == -signal.SIGKILL and not self._killed:
            return DecodeError(OUT_OF_MEMORY, "killed from outside, as where memory is short")
        if tells_of_no_memory(self._last_words):
            return self._no_memory(self._last_words)
        return DecodeError(CRASHED, f"{how}; exit status {status}; {self._last_words}")

    def _no_memory(self, detail: str) -> DecodeError:
        limit = f"more than data.decoder.memory_mb={self._config.memory_mb}"
        return DecodeError(OUT_OF_MEMORY, f"{limit}; {detail}" if detail else limit)

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
                self._killed = False
            except subprocess.TimeoutExpired:
                child.kill()
                self._killed = True
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
        arguments = (*inherited, self._config.name, self._config.memory_mb)
        command = [*self._command, *map(str, arguments)]
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
            raise ChildProcessError(  # an OSError: a machine that lacks memory may have it again
                f"the decoding process did not start (exit status {status}; "
                f"{self._last_words}); see why with: {' '.join(self._command)}"
            ) from error
        return peer, memory

    def _clear_stderr(self) -> None:
        """Forget what earlier videos made the child say; it writes at the same offset."""
        assert self._stderr is not None
        self._stderr.seek(0)
        self._stderr.truncate()


def _receive_decoded(peer: Peer, counts: Sequence[int]) -> Decoded:
    """What the child says, in so many numbers of each thing it made; raises DecodeError.

    Raises ConnectionError where the answer is none that a child gives: a stranger's video may have
    written it.
    """
    answer, body_bytes = peer.receive()
    ends = np.cumsum(counts)
    times = np.empty(0 if "reason" in answer else int(ends[-1]), dtype=np.float64)
    word = answer.get("reason", answer.get("decoder"))
    if body_bytes != times.nbytes or not (isinstance(word, str) and _WORD.fullmatch(word)):
        raise ConnectionError(f"an answer of {body_bytes} bytes without a word of the clips")
    if "reason" in answer:
        raise DecodeError(word, printable(answer.get("detail", "")))
    return Decoded(decoder=word, times=_receive_times(peer, times, ends[:-1]))


def _receive_times(
    peer: Peer, times: Float64[np.ndarray, "_"], ends: Int64[np.ndarray, "_"]
) -> tuple[Float64[np.ndarray, "_"], ...]:
    """The times of each clip's pictures, or what else is told of it, read into `times`."""
    peer.receive_into(times.data.cast("B"))
    if not np.isfinite(times).all():
        raise ConnectionError("an answer with times that are no numbers")
    return tuple(np.split(times, ends))


def _count(numbers: Float64[np.ndarray, "1"], *, most: int) -> int:
    """The count that was told; DecodeError where a stranger's file has written another answer."""
    count = float(numbers[0])
    if not (count.is_integer() and 0 < count <= most):
        raise DecodeError(CRASHED, f"an answer of {count:g} samples, of {most}")
    return int(count)


def _last_line(stderr: IO[bytes]) -> str:
    """The last line written to this file."""
    stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - 4096))
    lines = stderr.read().decode(errors="replace").splitlines()
    return printable(next((line.strip() for line in reversed(lines) if line.strip()), "no message"))

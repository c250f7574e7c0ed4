"""A tar that comes as a stream, in the parser's words; of what is passed over nothing is kept."""

import io

from worldmodel_train.data.shards.stream_open import ByteStream
from worldmodel_train.data.shards.tar_header import CutMemberError
from worldmodel_train.data.shards.tar_members import Span

_CHUNK = 1 << 20  # bytes taken at once, however many a tar claims
_LAST_WORDS = 1 << 20  # bytes that may follow the end of a tar: empty blocks


class StreamBytes:
    """The bytes of a streamed tar, asked for at positions that never go back."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._position = 0

    def read(self, position: int, size: int) -> bytes:
        """So many bytes from there on, fewer only where the stream ends."""
        if not self.reaches(position):
            return b""
        content = io.BytesIO()
        while (left := size - content.tell()) and (part := self._stream.read(min(left, _CHUNK))):
            content.write(part)
        self._position += content.tell()
        return content.getvalue()

    def reaches(self, position: int) -> bool:
        """Whether the stream has all bytes before this position; those that come are dropped."""
        assert position >= self._position
        if self._stream.length is not None and position > self._stream.length:
            return False
        while (left := position - self._position) and (
            part := self._stream.read(min(left, _CHUNK))
        ):
            self._position += len(part)
        return not left

    def content(self, span: Span) -> bytes:
        """A file's bytes; raises CutMemberError where the stream ends before them."""
        length = self._stream.length
        if length is None or span.offset + span.size <= length:
            content = self.read(span.offset, span.size)
            if len(content) == span.size:
                return content
        raise CutMemberError("truncated_shard")

    def drain(self) -> bool:
        """Reads the little that follows a tar's end, so that its writer can finish and say how.

        False where the stream ends earlier than it said.
        """
        left = _LAST_WORDS
        while left > 0 and (part := self._stream.read(left)):
            left -= len(part)
        return left <= 0 or not self._stream.cut

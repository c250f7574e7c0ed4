"""The files of a tar that make a sample: those of one key that follow each other."""

from worldmodel_train.data.shards.shard_table import ShardSample
from worldmodel_train.data.shards.tar_header import CorruptTarError, CutMemberError
from worldmodel_train.data.shards.tar_members import Member, Span
from worldmodel_train.data.shards.wanted_files import VIDEO_EXTENSIONS

_MOST_EXTENSIONS = 256  # of one sample; further ones are left out, as memory must not grow for them


def split_name(name: str) -> tuple[str, str]:
    """WebDataset's key (up to the first dot of the last part) and the extension after the last.

    Of videos all that follows the key is the extension, as the name of a camera may: `left.mp4`.
    """
    folder, slash, base = name.rpartition("/")
    key, _, extension = base.partition(".")
    extension = extension.lower()
    last = extension.rpartition(".")[2]
    return folder + slash + key, extension if last in VIDEO_EXTENSIONS else last


class Grouping:
    """Puts the files of a tar together, one after the other."""

    def __init__(self) -> None:
        self._key: str | None = None
        self._num_files = 0
        self.spans: dict[str, Span] = {}
        """Of the files that follow each other so far; the last where two have one extension."""

    def add(self, member: Member) -> ShardSample | None:
        """The sample that this file ends, if it is not of the same key."""
        key, extension = split_name(member.name)
        done = None
        if key != self._key:
            done = next(iter(self.end()), None)
            self._key, self._num_files, self.spans = key, 0, {}
        self._num_files += 1
        if extension in self.spans or len(self.spans) < _MOST_EXTENSIONS:
            self.spans[extension] = member.span
        return done

    def end(self) -> list[ShardSample]:
        """What is left at the end of the tar."""
        return [] if self._key is None else [ShardSample(key=self._key, spans=self.spans)]

    def broken(self, error: CorruptTarError) -> list[ShardSample]:
        """What is left where the tar breaks: a sample that may be whole, and then the damage.

        A single file, or one that was cut, is no sample: the damage has its key then.
        """
        whole = self._num_files > 1 and not isinstance(error, CutMemberError)
        key = "" if whole else self._key or ""
        damage = ShardSample(key=key, spans={}, problem=str(error))
        return [*self.end(), damage] if whole else [damage]

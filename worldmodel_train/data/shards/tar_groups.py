"""The files of a tar that make a sample: those of one key that follow each other."""

from dataclasses import dataclass, field

from worldmodel_train.data.shards.tar_header import CorruptTarError, CutMemberError
from worldmodel_train.data.shards.tar_members import Member, Span
from worldmodel_train.data.video_files import IMAGE_SUFFIXES, VIDEO_SUFFIXES

VIDEO_EXTENSIONS = frozenset(suffix[1:] for suffix in VIDEO_SUFFIXES | IMAGE_SUFFIXES)
_MOST_EXTENSIONS = 256  # of one sample; further ones are left out, as memory must not grow for them


def split_name(name: str) -> tuple[str, str]:
    """WebDataset's key (up to the first dot of the last part) and the extension after the last."""
    folder, slash, base = name.rpartition("/")
    key, _, extension = base.partition(".")
    return folder + slash + key, extension.rpartition(".")[2].lower()


@dataclass
class Group:
    """Files of one key, or where a tar cannot be read further."""

    key: str
    damage: str = ""
    """Why the tar cannot be read further; then there are no files."""
    spans: dict[str, Span] = field(default_factory=dict)
    """By extension, in the tar's order; the last where two files have the same."""
    num_files: int = 0

    @property
    def video(self) -> Span | None:
        """The first file whose extension is a video's."""
        return next((self.spans[e] for e in self.spans if e in VIDEO_EXTENSIONS), None)

    @property
    def problem(self) -> str:
        """Why it is no sample, empty where it is one."""
        if self.damage:
            return self.damage
        if self.video is None:
            return "missing_video"
        return "" if "json" in self.spans else "missing_json"

    def add(self, extension: str, span: Span) -> None:
        """Takes one more file of the key."""
        self.num_files += 1
        if extension in self.spans or len(self.spans) < _MOST_EXTENSIONS:
            self.spans[extension] = span


class Grouping:
    """Puts the files of a tar together, one after the other."""

    def __init__(self) -> None:
        self._group: Group | None = None

    @property
    def video(self) -> Span | None:
        """The video of the group that the last file belongs to, as far as it is known."""
        return None if self._group is None else self._group.video

    def add(self, member: Member) -> Group | None:
        """The group that this file ends, if it is not of the same key."""
        key, extension = split_name(member.name)
        before = self._group
        if before is None or before.key != key:
            self._group = Group(key)
        assert self._group is not None
        self._group.add(extension, member.span)
        return before if before is not self._group else None

    def end(self) -> list[Group]:
        """What is left at the end of the tar."""
        return [] if self._group is None else [self._group]

    def broken(self, error: CorruptTarError) -> list[Group]:
        """What is left where the tar breaks: a sample that may be whole, and then the damage.

        A single file, or one that was cut, is no sample: the damage has its key then.
        """
        group, damage = self._group, str(error)
        if group is not None and group.num_files > 1 and not isinstance(error, CutMemberError):
            return [group, Group("", damage)]
        return [Group(group.key if group else "", damage)]

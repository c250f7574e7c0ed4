"""What goes wrong while packing: errors for the user, and verdicts on single videos."""

import errno

DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""The disk's fault, never a video's: these stop the run. FFmpeg says EIO of torn files, too."""


class PackError(ValueError):
    """A mistake in the arguments or the folder that the user can put right; one line."""


class BadVideo(Exception):  # noqa: N818 - a verdict on one file, caught where the file is handled
    """One video that cannot be packed; `reason` is a short stable word, `detail` is for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

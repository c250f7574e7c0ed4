"""The verdict on an episode that cannot be used."""


class BadEpisode(Exception):  # noqa: N818 - a verdict on one episode, caught where it is counted
    """An episode that cannot be used: a short reason to count by, and the detail."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}, {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail

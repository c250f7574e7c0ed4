"""Times as people write them."""

from worldmodel_train.data.packing.errors import PackError

LATEST_S = 1e9  # thirty years; FFmpeg counts ticks in 64 bits and would overflow far beyond it


def seconds(text: str | None, place: str) -> float | None:
    """Seconds from `12.5`, `1:02.5` or `1:02:03`; PackError, which begins with `place`, else."""
    if not text:
        return None
    wrong = PackError(f"{place}={text!r} is not a time; use seconds or hh:mm:ss")
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        raise wrong from None
    if len(parts) > 3 or not all(0 <= part < float("inf") for part in parts):
        raise wrong
    total = 0.0
    for part in parts:
        total = total * 60 + part
    if total > LATEST_S:
        raise PackError(f"{place}={text!r} is past the end of any video ({LATEST_S:g} s at most)")
    return total

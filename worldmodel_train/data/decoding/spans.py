"""Which packets must be decoded to see certain frames."""

import numpy as np
from jaxtyping import Int64

from worldmodel_train.data.decoding.container import VideoTrack


def spans_to_decode(track: VideoTrack, frames: Int64[np.ndarray, "m"]) -> list[range]:
    """Stretches of stored packets that decode to the frames, each beginning at a keyframe.

    A stretch ends with the last packet wanted, so that of groups of pictures whose rest nobody
    wants the rest is left out. Frames that are shown before a keyframe but stored after it lean on
    the group before: that one is decoded up to them.
    """
    spans: list[range] = []
    needed = [(_start(track, frame), int(track.places[frame])) for frame in frames.tolist()]
    for start, place in sorted(needed):
        stop = place + 1 if track.exact else track.num_packets
        if spans and start <= spans[-1].stop:  # going on is cheaper than beginning anew
            spans[-1] = range(spans[-1].start, max(stop, spans[-1].stop))
        else:
            spans.append(range(start, stop))
    return spans


def _start(track: VideoTrack, frame: int) -> int:
    """The packet from which on to decode: the last keyframe stored and shown before the frame."""
    place, tick = track.places[frame], track.ticks[frame]
    before = np.flatnonzero((track.key_places <= place) & (track.key_ticks <= tick))
    # whatever lies before the first keyframe is decoded with it, as a player would
    is_first = len(before) == 0 or before[-1] == 0
    return 0 if is_first or track.needs_first_packet else int(track.key_places[before[-1]])

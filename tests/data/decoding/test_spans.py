"""Which packets are decoded: from the right keyframe, and no more than are needed."""

import numpy as np
import pytest

from worldmodel_train.data.decoding.container import VideoTrack
from worldmodel_train.data.decoding.spans import spans_to_decode


def track(stored, keys, **changes):
    """A track whose packets carry these time stamps, of which some are keyframes."""
    ticks = np.sort(np.array(stored, dtype=np.int64))
    facts = {
        "container": "mov",
        "codec": "h264",
        "ticks": ticks,
        "places": np.argsort(np.array(stored, dtype=np.int64)),
        "key_ticks": np.array([stored[place] for place in keys], dtype=np.int64),
        "key_places": np.array(keys, dtype=np.int64),
        "num_packets": len(stored),
        "seconds": ticks / 10,
        "rate": 10.0,
        "end": float(len(stored) / 10),
        "packets_hidden": 0,
        "exact": True,
        "open_gop": False,
        "needs_first_packet": False,
        "skippable": True,
    }
    return VideoTrack(**{**facts, **changes})


PLAIN = list(range(12))


@pytest.mark.parametrize(
    ("frames", "spans"),
    [
        ([1], [range(2)]),
        ([1, 9], [range(2), range(8, 10)]),
        ([6, 9], [range(4, 7), range(8, 10)]),
        ([7, 9], [range(4, 10)]),  # nothing lies between them that could be left out
        ([0, 11], [range(1), range(8, 12)]),
    ],
)
def test_groups_of_pictures_are_decoded_up_to_the_last_frame_wanted(frames, spans):
    assert spans_to_decode(track(PLAIN, [0, 4, 8]), np.array(frames)) == spans


def test_a_frame_stored_after_the_keyframe_that_it_precedes_needs_the_group_before():
    stored = [0, 1, 2, 3, 6, 4, 5, 7, 8]  # 6 is a keyframe; 4 and 5 lean on 3 as well
    opened = track(stored, [0, 4], open_gop=True)
    assert spans_to_decode(opened, np.array([5])) == [range(7)]
    assert spans_to_decode(opened, np.array([6, 8])) == [range(4, 9)]
    assert spans_to_decode(opened, np.array([4, 6])) == [range(6)]


def test_what_needs_the_first_packet_is_decoded_from_it():
    assert spans_to_decode(track(PLAIN, [0, 4, 8], needs_first_packet=True), np.array([1, 9])) == [
        range(10)
    ]


def test_without_exact_time_stamps_nothing_after_the_keyframe_is_left_out():
    spans = spans_to_decode(track(PLAIN, [0, 4, 8], exact=False), np.array([5]))
    assert spans == [range(4, 12)]

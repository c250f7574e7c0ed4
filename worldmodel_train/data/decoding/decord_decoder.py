"""Decoding with decord, checked against the container, because decord can be wrong in silence."""

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO

import decord
import numpy as np
from jaxtyping import Int64

from worldmodel_train.data.confinement import OUT_OF_MEMORY
from worldmodel_train.data.decoding.container import VideoTrack, read_track
from worldmodel_train.data.decoding.crop import MovingCrop, frame_whole
from worldmodel_train.data.decoding.decode import (
    ClipArray,
    ClipRequest,
    Decoded,
    DecodedClip,
    DecodeError,
    decode_with,
    tells_of_no_memory,
)
from worldmodel_train.data.decoding.native_log import recording
from worldmodel_train.data.decoding.pyav_decoder import PyavDecoder

# In other containers decord's seeking and its end of file are not to be trusted (MPEG-TS hangs).
_SAFE_CONTAINERS = frozenset({"mov", "matroska", "avi"})
_STAMP_TOLERANCE = 2e-3  # seconds; decord keeps time stamps in float32
_SAME_PICTURE = 0.5  # mean difference in grey levels


class DecordDecoder:
    """Decodes with decord where its view of the file agrees with the container's.

    Pictures of 8 bits and even sizes are PyAV's bit for bit, unless PyAV scales while it decodes.
    """

    def __init__(self) -> None:
        self._referee = PyavDecoder()

    def decode(self, video: bytes, request: ClipRequest) -> DecodedClip:
        """The clip asked for; raises DecodeError, also where decord would return wrong frames."""
        return decode_with(self, video, request)

    def decode_into(
        self, video: bytes, requests: Sequence[ClipRequest], clips: Sequence[ClipArray]
    ) -> Decoded:
        """Fills clips of one video, whose container is read and checked once."""
        track = read_track(video, max_pixels=min(request.max_pixels for request in requests))
        _require_safe(track)
        indexes = [track.frames_of(request) for request in requests]
        try:
            with recording() as log:
                repeats = _read(video, track, indexes, requests, clips)
        except (decord.DECORDError, RuntimeError) as error:
            reason = OUT_OF_MEMORY if tells_of_no_memory(str(error)) else "decord_failed"
            raise DecodeError(reason, _first_line(str(error))) from error
        if log.text:
            # decord drops its decoder's error codes and returns the damaged pictures.
            reason = OUT_OF_MEMORY if tells_of_no_memory(log.text) else "decord_damaged_frames"
            raise DecodeError(reason, _first_line(log.text))
        for request, places in zip(requests, repeats, strict=True):
            self._check_repeats(video, request, places)
        times = tuple(track.times_of(index) for index in indexes)
        return Decoded(decoder="decord", times=times)

    def _check_repeats(self, video: bytes, request: ClipRequest, repeats: Sequence[int]) -> None:
        """Raises DecodeError if decord repeats a picture that PyAV does not.

        Where frames are missing decord returns the one before again. Real videos repeat pictures
        too (animation, standing scenes), so a repeat alone proves nothing.
        """
        if not repeats:
            return
        if isinstance(request.crop, MovingCrop):  # of which no picture is like the one before
            request = replace(request, crop=request.crop.first)
        seen = self._referee.decode(video, request).clip.astype(np.int16)
        differing = [t for t in repeats if np.abs(seen[t] - seen[t - 1]).mean() > _SAME_PICTURE]
        if differing:
            detail = f"{len(differing)} pictures repeat that PyAV tells apart"
            raise DecodeError("decord_repeats_frames", detail)


def _require_safe(track: VideoTrack) -> None:
    if _SAFE_CONTAINERS.isdisjoint(track.container.split(",")):
        raise DecodeError("decord_unsafe_container", track.container)
    if track.packets_hidden or not track.exact:
        detail = f"{track.packets_hidden} packets are not shown, which decord ignores"
        raise DecodeError("decord_hidden_packets", detail)
    if track.open_gop:
        raise DecodeError("decord_open_gop", "decord miscounts frames after seeking")
    if track.needs_first_packet:
        raise DecodeError("decord_bad_seek", f"{track.codec} 4:4:4 must be decoded from the start")


def _read(
    video: bytes,
    track: VideoTrack,
    indexes: Sequence[Int64[np.ndarray, "_"]],
    requests: Sequence[ClipRequest],
    clips: Sequence[ClipArray],
) -> list[list[int]]:
    """Fills the clips; says of each where a frame's picture is that of the frame before again."""
    reader = decord.VideoReader(BytesIO(video), num_threads=1)
    _require_agreement(reader, track)
    height, width = reader[0].shape[:2]  # upright; the container's is not
    repeats: list[list[int]] = [[] for _ in requests]
    for index, request, clip, repeated in zip(indexes, requests, clips, repeats, strict=True):
        before = None
        for frame in np.unique(index):
            (picture,) = reader.get_batch([int(frame)]).asnumpy()
            if before is not None and np.array_equal(picture, before):
                repeated.append(int(np.flatnonzero(index == frame)[0]))
            before = picture
            for crop, places in request.crops(np.flatnonzero(index == frame)):
                # decord would scale too, but darkens as it does: it sets none of libswscale's flags
                framing = frame_whole(crop, width=width, height=height, size=request.size)
                cut = framing.cut(picture, request.size)
                clip[places] = cut[:, ::-1] if crop.flip else cut
    return repeats


def _require_agreement(reader: decord.VideoReader, track: VideoTrack) -> None:
    """Raises DecodeError unless decord sees the container's frames at the container's times."""
    if len(reader) != len(track.seconds):
        detail = f"decord counts {len(reader)} frames, the container {len(track.seconds)}"
        raise DecodeError("decord_frame_count", detail)
    stamps = reader.get_frame_timestamp(range(len(reader)))[:, 0].astype(np.float64)
    apart = np.abs((stamps - stamps[0]) - (track.seconds - track.seconds[0])).max()
    if apart > max(_STAMP_TOLERANCE, float(np.abs(stamps).max()) * 1e-6):
        raise DecodeError("decord_time_stamps", f"up to {apart:.3f} s from the container's")


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0][:200]

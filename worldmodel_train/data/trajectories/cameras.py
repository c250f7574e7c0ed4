"""Whose video a window shows, of episodes that several cameras saw."""

from collections.abc import Sequence

from worldmodel_train.data.order import Permutation
from worldmodel_train.data.random_streams import Stream, key


def camera_of(cameras: Sequence[str], *, seed: int, number: int) -> str:
    """The camera of the `number`-th sample: each has one of as many in a row as there are."""
    turn, place = divmod(number, len(cameras))
    return cameras[Permutation(len(cameras), key(Stream.CAMERA, seed, turn))(place)]

"""Poses as DROID states them, and the actions that V-JEPA 2-AC takes from them."""

import numpy as np
from jaxtyping import Float64

_LOCKED = 1e-7  # cosine of the second angle below which the first and third turn the same way


def pose_changes(states: Float64[np.ndarray, "T 7"]) -> Float64[np.ndarray, "_ 7"]:
    """What leads from each state (xyz, Euler angles, gripper) to the next.

    The difference of places, the angles of R[t+1] R[t]^T, and the difference of the gripper
    (facebookresearch/vjepa2 at c2963a4, `app/vjepa_droid/droid.py`). Angles themselves cannot be
    subtracted: they jump where they wrap, and turns do not add up.
    """
    turns = matrices(states[:, 3:6])
    relative = turns[1:] @ turns[:-1].swapaxes(1, 2)
    moved = np.diff(states[:, :3], axis=0)
    return np.concatenate([moved, angles(relative), np.diff(states[:, 6:], axis=0)], axis=1)


def matrices(euler: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 3 3"]:
    """Rotations about the fixed axes x, then y, then z: scipy's lower-case "xyz"."""
    (sx, sy, sz), (cx, cy, cz) = np.sin(euler).T, np.cos(euler).T
    rows = (
        (cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx),
        (sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx),
        (-sy, cy * sx, cy * cx),
    )
    return np.moveaxis(np.array(rows), -1, 0)


def angles(rotation: Float64[np.ndarray, "n 3 3"]) -> Float64[np.ndarray, "n 3"]:
    """What `matrices` takes, the second within a quarter turn; where it is one, the third is 0."""
    r = rotation
    cosine = np.hypot(r[:, 0, 0], r[:, 1, 0])
    locked = cosine < _LOCKED
    sine_x = np.where(locked, -r[:, 1, 2], r[:, 2, 1])
    cosine_x = np.where(locked, r[:, 1, 1], r[:, 2, 2])
    x = np.arctan2(sine_x, cosine_x)
    y = np.arctan2(-r[:, 2, 0], cosine)
    z = np.where(locked, 0.0, np.arctan2(r[:, 1, 0], r[:, 0, 0]))
    return np.stack([x, y, z], axis=1)

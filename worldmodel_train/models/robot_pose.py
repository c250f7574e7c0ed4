"""Poses of a gripper, and how they change (V-JEPA 2-AC, arXiv 2506.09985).

A pose has seven numbers: place, angles about the fixed axes x, y and z (turned in this order, in
radians), and how far the gripper is closed, or open, from 0 to 1. A change has seven: how far it
is moved, the angles of the turn that is done after the old one, and how much the gripper's changes.
"""

import torch
from jaxtyping import Float
from torch import Tensor

POSE = 7
"""Numbers of a pose, and of a change."""


def pose_changes(poses: Float[Tensor, "*b t 7"]) -> Float[Tensor, "*b t-1 7"]:
    """What leads from each pose to the next."""
    before, after = poses[..., :-1, :], poses[..., 1:, :]
    back = rotation(before[..., 3:6]).transpose(-1, -2)
    turn = angles(_product(rotation(after[..., 3:6]), back))
    return torch.cat((after[..., :3] - before[..., :3], turn, after[..., 6:] - before[..., 6:]), -1)


def pose_after(pose: Float[Tensor, "*b 7"], change: Float[Tensor, "*b 7"]) -> Float[Tensor, "*b 7"]:
    """The pose that a change leads to; a gripper is never more than open or closed."""
    turned = angles(_product(rotation(change[..., 3:6]), rotation(pose[..., 3:6])))
    gripper = (pose[..., 6:] + change[..., 6:]).clamp(0, 1)
    return torch.cat((pose[..., :3] + change[..., :3], turned, gripper), dim=-1)


def rotation(turned: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """The matrix that turns about x, then y, then z, by these angles."""
    (cx, cy, cz), (sx, sy, sz) = turned.cos().unbind(-1), turned.sin().unbind(-1)
    rows = (
        torch.stack((cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx), dim=-1),
        torch.stack((sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx), dim=-1),
        torch.stack((-sy, cy * sx, cy * cx), dim=-1),
    )
    return torch.stack(rows, dim=-2)


def angles(matrix: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3"]:
    """The angles about x, y and z that `rotation` makes it of; that about y is within pi / 2.

    Where it is just pi / 2, x and z turn about one axis, and only their sum is known.
    """
    across = torch.hypot(matrix[..., 0, 0], matrix[..., 1, 0])
    about_x = torch.atan2(matrix[..., 2, 1], matrix[..., 2, 2])
    about_y = torch.atan2(-matrix[..., 2, 0], across)
    about_z = torch.atan2(matrix[..., 1, 0], matrix[..., 0, 0])
    return torch.stack((about_x, about_y, about_z), dim=-1)


def _product(first: Float[Tensor, "*b 3 3"], second: Float[Tensor, "*b 3 3"]) -> Tensor:
    """The product of matrices; not by `@`, which autocast would round."""
    return (first[..., :, :, None] * second[..., None, :, :]).sum(dim=-2)

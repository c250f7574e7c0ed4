"""Poses are turned as scipy turns them, about fixed axes."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from worldmodel_train.models.robot_pose import angles, pose_after, pose_changes, rotation


def poses(*shape):
    """Random ones; angles about y are within pi / 2, as those that are read off a matrix."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.rand(*shape, 7, generator=generator, dtype=torch.float64) * 2 - 1
    drawn[..., 3:6] *= torch.tensor([3.1, 1.5, 3.1])
    drawn[..., 6] = drawn[..., 6].abs()
    return drawn


def test_angles_turn_as_scipys_do():
    given = poses(50)[:, 3:6]
    expected = Rotation.from_euler("xyz", given.numpy()).as_matrix()
    np.testing.assert_allclose(rotation(given).numpy(), expected, atol=1e-14)
    torch.testing.assert_close(angles(rotation(given)), given)


def test_a_change_is_the_turn_from_one_pose_to_the_next():
    """After (change) times before, not before times change: R(t + 1) R(t)^T."""
    before, after = poses(2, 20).unbind()
    change = pose_changes(torch.stack((before, after), dim=1))[:, 0]
    turns = [Rotation.from_euler("xyz", one[:, 3:6].numpy()) for one in (before, after)]
    expected = (turns[1] * turns[0].inv()).as_euler("xyz")
    np.testing.assert_allclose(change[:, 3:6].numpy(), expected, atol=1e-12)
    torch.testing.assert_close(change[:, :3], after[:, :3] - before[:, :3])
    torch.testing.assert_close(change[:, 6], after[:, 6] - before[:, 6])


def test_a_pose_and_its_change_give_the_next_pose():
    given = poses(4, 6)
    changes = pose_changes(given)
    assert changes.shape == (4, 5, 7)
    torch.testing.assert_close(pose_after(given[:, :-1], changes), given[:, 1:])


def test_two_changes_in_a_row_are_one_turn_after_the_other():
    """A quarter about z, then one about x: what pointed along x points along z."""
    pose = torch.zeros(7)
    for turn in ([0, 0, np.pi / 2], [np.pi / 2, 0, 0]):
        pose = pose_after(pose, torch.tensor([0, 0, 0, *turn, 0], dtype=torch.float32))
    torch.testing.assert_close(rotation(pose[3:6])[:, 0], torch.tensor([0.0, 0.0, 1.0]))


@pytest.mark.parametrize(("change", "expected"), [(0.9, 1.0), (-0.9, 0.0), (0.1, 0.6)])
def test_a_gripper_is_never_more_than_open_or_closed(change, expected):
    pose, step = torch.zeros(7), torch.zeros(7)
    pose[6], step[6] = 0.5, change
    assert pose_after(pose, step)[6].item() == pytest.approx(expected)


def test_autocast_rounds_no_turn():
    given = poses(4, 6).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        changes = pose_changes(given)
    assert torch.equal(changes, pose_changes(given))


def test_a_pose_depends_smoothly_on_the_change():
    pose, change = poses(3), poses(3) / 10
    assert torch.autograd.gradcheck(pose_after, (pose, change.requires_grad_()))

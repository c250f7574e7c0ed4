import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from worldmodel_train.data.trajectories.formats.rotations import angles, matrices, pose_changes


def poses(euler, xyz=0.0, gripper=0.0):
    euler = np.asarray(euler, np.float64)
    count = len(euler)
    places = np.broadcast_to(np.asarray(xyz, np.float64), (count, 3))
    grips = np.broadcast_to(np.asarray(gripper, np.float64), (count,))
    return np.concatenate([places, euler, grips[:, None]], axis=1)


def test_angles_are_scipys_xyz():
    euler = np.random.default_rng(0).uniform(-np.pi, np.pi, (200, 3))
    expected = Rotation.from_euler("xyz", euler)
    np.testing.assert_allclose(matrices(euler), expected.as_matrix(), atol=1e-12)
    np.testing.assert_allclose(angles(matrices(euler)), expected.as_euler("xyz"), atol=1e-9)


def test_changes_are_those_of_v_jepa_2_ac():
    rng = np.random.default_rng(1)
    states = np.concatenate([rng.normal(size=(9, 3)), rng.uniform(-3, 3, (9, 4))], axis=1)
    found = pose_changes(states)
    turns = Rotation.from_euler("xyz", states[:, 3:6])
    for t in range(8):
        relative = (turns[t + 1] * turns[t].inv()).as_euler("xyz")
        np.testing.assert_allclose(found[t, 3:6], relative, atol=1e-9)
    np.testing.assert_allclose(found[:, :3], states[1:, :3] - states[:-1, :3])
    np.testing.assert_allclose(found[:, 6], states[1:, 6] - states[:-1, 6])


def test_a_roll_that_wraps_at_pi_is_a_small_turn():
    found = pose_changes(poses([[np.pi - 0.01, 0, 0], [-np.pi + 0.02, 0, 0]]))
    np.testing.assert_allclose(found[0, 3:6], [0.03, 0, 0], atol=1e-12)


def test_a_turn_is_about_the_axes_of_the_base_and_not_the_difference_of_angles():
    # lying on its side (a quarter turn about x), then turned by 0.2 about the base's z
    side = Rotation.from_euler("x", np.pi / 2)
    after = (Rotation.from_euler("z", 0.2) * side).as_euler("xyz")
    found = pose_changes(poses([[np.pi / 2, 0, 0], after]))
    np.testing.assert_allclose(found[0, 3:6], [0, 0, 0.2], atol=1e-12)
    # turned by 0.2 about its own z, which is the base's -y
    after = (side * Rotation.from_euler("z", 0.2)).as_euler("xyz")
    found = pose_changes(poses([[np.pi / 2, 0, 0], after]))
    np.testing.assert_allclose(found[0, 3:6], [0, -0.2, 0], atol=1e-12)


@pytest.mark.parametrize("second", [np.pi / 2, -np.pi / 2])
def test_where_two_axes_coincide_the_third_angle_is_0_and_the_rotation_the_same(second):
    locked = matrices(np.array([[0.4, second, 0.9]]))
    found = angles(locked)
    assert found[0, 2] == 0
    np.testing.assert_allclose(matrices(found), locked, atol=1e-12)

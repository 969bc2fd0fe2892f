"""The laws of the grasp vector."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from deft_env import grasp, paper

wild = arrays(np.float64, (grasp.DIM,), elements=st.floats(-5, 5))
batches = arrays(np.float64, (3, grasp.DIM), elements=st.floats(-5, 5))
angles = arrays(np.float64, (3,), elements=st.floats(-grasp.WRIST_LIMIT_RAD, grasp.WRIST_LIMIT_RAD))
rotations = arrays(np.float64, (4,), elements=st.floats(-1, 1)).filter(lambda q: np.linalg.norm(q) > 0.1)


def test_layout_follows_table_1() -> None:
    assert grasp.DIM == 22
    assert len(grasp.NAMES) == len(grasp.UNITS) == grasp.DIM
    assert len(set(grasp.NAMES)) == grasp.DIM
    covered = np.concatenate([np.arange(grasp.DIM)[group] for group in grasp.GROUPS.values()])
    np.testing.assert_array_equal(covered, np.arange(grasp.DIM))
    assert grasp.NAMES[6:10] == ("index_side", "index_forward", "index_pip", "index_dip")
    assert len(grasp.MOTOR_NAMES) == 12


def test_sigma_follows_table_4() -> None:
    np.testing.assert_array_equal(grasp.SIGMA, [0.02] * 3 + [0.2] * 3 + [0.05] * 16)
    np.testing.assert_allclose(grasp.RESIDUAL_HIGH, paper.RESIDUAL_LIMIT_SIGMA * grasp.SIGMA)


def test_constants_cannot_be_changed() -> None:
    for constant in (grasp.SIGMA, grasp.LOW, grasp.HIGH, grasp.RESIDUAL_LOW, grasp.RESIDUAL_HIGH):
        with pytest.raises(ValueError):
            constant[0] = 1.0


@given(wild)
def test_zero_residual_is_the_prior(xi: np.ndarray) -> None:
    np.testing.assert_array_equal(grasp.compose(xi, np.zeros(grasp.DIM)), xi)


@given(wild)
def test_whitening_round_trip(z: np.ndarray) -> None:
    np.testing.assert_allclose(grasp.whiten(grasp.unwhiten(z)), z, atol=1e-12)


@given(wild)
def test_limits_are_idempotent_and_hold(g: np.ndarray) -> None:
    once = grasp.limit(g)
    assert ((once >= grasp.LOW) & (once <= grasp.HIGH)).all()
    np.testing.assert_array_equal(grasp.limit(once), once)
    inside = (g >= grasp.LOW) & (g <= grasp.HIGH)
    np.testing.assert_array_equal(once[inside], g[inside])


@given(arrays(np.float64, (16,), elements=st.floats(-3, 3)))
def test_motor_projection_is_a_projection(q: np.ndarray) -> None:
    motors = grasp.joints_to_motors(q)
    joints = grasp.motors_to_joints(motors)
    assert ((joints >= grasp.LOW[6:] - 1e-12) & (joints <= grasp.HIGH[6:] + 1e-12)).all()
    np.testing.assert_allclose(grasp.joints_to_motors(joints), motors, atol=1e-12)


@given(arrays(np.float64, (16,), elements=st.floats(0, 0.9)), arrays(np.float64, (12,), elements=st.floats(0, 1.3)))
def test_motor_projection_is_the_nearest_pose(q: np.ndarray, other: np.ndarray) -> None:
    q = np.clip(q, grasp.LOW[6:], grasp.HIGH[6:])
    other = grasp.joints_to_motors(grasp.motors_to_joints(other))
    nearest = np.linalg.norm(grasp.motors_to_joints(grasp.joints_to_motors(q)) - q)
    assert nearest <= np.linalg.norm(grasp.motors_to_joints(other) - q) + 1e-12


@given(wild)
def test_executable_is_idempotent_and_legal(g: np.ndarray) -> None:
    once = grasp.executable(g)
    assert ((once >= grasp.LOW - 1e-12) & (once <= grasp.HIGH + 1e-12)).all()
    np.testing.assert_allclose(grasp.executable(once), once, atol=1e-12)


@given(batches)
def test_rows_do_not_depend_on_the_batch(g: np.ndarray) -> None:
    nominal = np.array([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    whole, turned = grasp.executable(g), grasp.wrist_to_rotation(g[:, grasp.WRIST], nominal)
    for i in range(len(g)):
        np.testing.assert_array_equal(grasp.executable(g[i]), whole[i])
        np.testing.assert_array_equal(grasp.wrist_to_rotation(g[i, grasp.WRIST], nominal), turned[i])


@given(angles, rotations)
def test_wrist_round_trip(w: np.ndarray, q: np.ndarray) -> None:
    nominal = Rotation.from_quat(q).as_matrix()
    turned = grasp.wrist_to_rotation(w, nominal)
    np.testing.assert_allclose(turned @ turned.T, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(grasp.rotation_to_wrist(turned, nominal), w, atol=1e-6)


@given(angles)
def test_wrist_convention_is_rz_ry_rx(w: np.ndarray) -> None:
    expected = Rotation.from_euler("ZYX", [w[2], w[1], w[0]]).as_matrix()
    np.testing.assert_allclose(grasp.wrist_to_rotation(w, np.eye(3)), expected, atol=1e-12)


def test_angles_near_the_gimbal_are_refused() -> None:
    with pytest.raises(ValueError, match="quarter turn"):
        grasp.rotation_to_wrist(Rotation.from_euler("Y", 1.57).as_matrix(), np.eye(3))


@pytest.mark.parametrize(
    ("bad", "words"),
    [(np.zeros(21), "22 entries"), (np.full(22, np.nan), "finite"), (np.full(22, np.inf), "finite"), (1.0, "22")],
)
def test_bad_arrays_are_named(bad: object, words: str) -> None:
    with pytest.raises(ValueError, match=rf"xi.*{words}"):
        grasp.check(bad, "xi")  # type: ignore[arg-type]

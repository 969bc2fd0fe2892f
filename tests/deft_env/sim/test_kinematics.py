"""Forward and inverse kinematics of the arm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from deft_env.sim import kinematics, robot

DOWN = np.diag([1.0, -1.0, -1.0])


def random_paths(n: int, t: int = 30, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    start = rng.uniform([0.32, -0.2, 0.05], [0.55, 0.2, 0.12], (n, 3))
    steps = rng.uniform(-0.002, 0.002, (n, 1, 3)) + np.array([0.0, 0.0, 0.003])
    turns = rng.uniform(-0.015, 0.015, (n, 1, 3)) * np.arange(t)[:, None] + rng.uniform(-0.4, 0.4, (n, 1, 3))
    rotation = Rotation.from_rotvec(turns.reshape(-1, 3)).as_matrix().reshape(n, t, 3, 3) @ DOWN
    return start[:, None] + steps * np.arange(t)[:, None], rotation


@pytest.mark.parametrize(
    ("q", "position"),
    [((0, 0, 0, 0, 0, 0), (0.207, 0.0, 0.112)), ((0, -0.3, -1.2, 0, 1.5, 0), (0.390, 0.0, 0.511))],
)
def test_forward_meets_the_published_check_values(q: tuple[float, ...], position: tuple[float, ...]) -> None:
    p, r = kinematics.forward(q)
    np.testing.assert_allclose(p, position, atol=5e-4)
    np.testing.assert_allclose(r[:, 2], [0, 0, -1], atol=1e-6)


def test_forward_is_the_simulated_arm(empty: Any, site: str) -> None:
    import mujoco

    data = mujoco.MjData(empty)
    rng = np.random.default_rng(1)
    for q in rng.uniform([ln.range_rad[0] for ln in robot.ARM], [ln.range_rad[1] for ln in robot.ARM], (20, 6)):
        data.qpos[:6] = q
        mujoco.mj_kinematics(empty, data)
        p, r = kinematics.grasp_site(q)
        np.testing.assert_allclose(p, data.site(site).xpos, atol=1e-9)
        np.testing.assert_allclose(r.flatten(), data.site(site).xmat, atol=1e-9)


def test_paths_are_solved_exactly_and_inside_the_limits() -> None:
    position, rotation = random_paths(200)
    solution = kinematics.solve_path(position, rotation, 0.06)
    assert solution.ok.mean() > 0.9
    p, r = kinematics.grasp_site(solution.q[solution.ok])
    assert np.abs(p - position[solution.ok]).max() <= 1.05 * kinematics.DETOUR_M
    assert np.abs(r - rotation[solution.ok]).max() <= 1.05 * kinematics.DETOUR_RAD
    exact = (np.abs(p - position[solution.ok]).max(axis=(1, 2)) < 2e-5) & (
        np.abs(r - rotation[solution.ok]).max(axis=(1, 2, 3)) < 2e-4
    )
    assert exact.mean() > 0.95
    low, high = np.array([link.range_rad for link in robot.ARM]).T
    assert (solution.q >= low + 0.99 * kinematics.LIMIT_MARGIN_RAD).all()
    assert (solution.q <= high - 0.99 * kinematics.LIMIT_MARGIN_RAD).all()
    jumps = np.abs(np.diff(solution.q[solution.ok], axis=1)).max()
    assert jumps <= kinematics.MAX_JOINT_SPEED_RAD_S * 0.06 + 1e-9


def test_a_pose_called_out_of_reach_is_so_for_a_general_solver() -> None:
    rng = np.random.default_rng(5)
    position = rng.uniform([0.25, -0.35, 0.02], [0.70, 0.35, 0.35], (60, 1, 3))
    rotation = Rotation.from_rotvec(rng.uniform(-0.8, 0.8, (60, 3))).as_matrix()[:, None] @ DOWN
    solution = kinematics.solve_path(position, rotation, 1.0)
    low, high = np.array([link.range_rad for link in robot.ARM]).T + np.array([[0.02], [-0.02]])
    refused = np.flatnonzero(~solution.ok)
    assert 0 < len(refused) < 50
    for i in refused[:8]:

        def residual(q: np.ndarray, i: int = i) -> np.ndarray:
            p, r = kinematics.grasp_site(q)
            return np.concatenate([p - position[i, 0], 0.1 * (r - rotation[i, 0]).ravel()])

        starts = rng.uniform(low, high, (6, 6)) * [0.2, 1, 1, 0.3, 1, 0.3]
        costs = [least_squares(residual, np.clip(s, low, high), bounds=(low, high)).cost for s in starts]
        assert min(costs) > 1e-9, f"pose {i} can be reached: {solution.reason[i]}"


@pytest.mark.parametrize("n", [1, 3, 16])
def test_bits_do_not_depend_on_the_batch(n: int) -> None:
    position, rotation = random_paths(64)
    whole = kinematics.solve_path(position, rotation, 0.06)
    for start in (0, 7):
        rows = slice(start, start + n)
        part = kinematics.solve_path(position[rows], rotation[rows], 0.06)
        assert np.array_equal(part.q, whole.q[rows])
        assert np.array_equal(part.ok, whole.ok[rows])


def test_one_unreachable_waypoint_fails_the_path_with_a_reason() -> None:
    position, rotation = random_paths(2)
    position[1, 20:, 0] = 1.5
    solution = kinematics.solve_path(position, rotation, 0.06)
    assert solution.ok.tolist() == [True, False]
    assert solution.reason[0] == ""
    assert "waypoint" in solution.reason[1]


def test_too_fast_a_path_is_refused() -> None:
    position, rotation = random_paths(1, seed=2)
    assert kinematics.solve_path(position, rotation, 0.06).ok[0]
    assert "fast enough" in kinematics.solve_path(position, rotation, 0.001).reason[0]

"""The xArm6's flange kinematics for one pose at a time, on numpy alone, and the controller's roll-pitch-yaw.

The control box computes its own kinematics; its stand-in needs the same, and so does a check of what a real box says.
This module follows the vendor's Denavit-Hartenberg table and solves by damped least squares from a seed, like a
controller that stays close to the arm's present posture. The simulator's path solver (``deft_env.sim.kinematics``) is
a different method from a different source (the URDF); a test holds the two against each other.
"""

from __future__ import annotations

from math import atan, atan2, cos, hypot, pi, sin, sqrt
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

AXES: Final = 6
_A2: Final = sqrt(0.2845**2 + 0.0535**2)
_O: Final = atan(0.2845 / 0.0535)
DH: Final = (
    (0.267, -pi / 2, 0.0, 0.0),
    (0.0, 0.0, _A2, -_O),
    (0.0, -pi / 2, 0.0775, _O),
    (0.3425, pi / 2, 0.0, 0.0),
    (0.0, -pi / 2, 0.076, 0.0),
    (0.097, 0.0, 0.0, 0.0),
)
"""Standard DH rows (d m, alpha rad, a m, theta offset rad), from the vendor's page on the xArm6."""
JOINT_LIMITS_RAD: Final = (
    (-2 * pi, 2 * pi),
    (-2.059488, 2.094395),
    (-3.92699, 0.191986),
    (-2 * pi, 2 * pi),
    (-1.692969, pi),
    (-2 * pi, 2 * pi),
)
"""Limits that the controller enforces (device type 6)."""
LOW_RAD: Final = np.array([low for low, _ in JOINT_LIMITS_RAD])
HIGH_RAD: Final = np.array([high for _, high in JOINT_LIMITS_RAD])
_DAMPING: Final = 1e-3
_STEP_RAD: Final = 0.5
_METRES_PER_RAD: Final = 0.3


def _link(row: tuple[float, float, float, float], q: float) -> Array:
    d, alpha, a, offset = row
    c, s, ca, sa = cos(q + offset), sin(q + offset), cos(alpha), sin(alpha)
    return np.array([[c, -s * ca, s * sa, a * c], [s, c * ca, -c * sa, a * s], [0.0, sa, ca, d], [0.0, 0.0, 0.0, 1.0]])


def _frames(q: ArrayLike) -> list[Array]:
    frames = [np.eye(4)]
    for row, angle in zip(DH, np.asarray(q, dtype=np.float64), strict=True):
        frames.append(frames[-1] @ _link(row, float(angle)))
    return frames


def forward(q_rad: ArrayLike) -> Array:
    """T_base_flange (4, 4), m, of joint angles (6,), rad."""
    return _frames(q_rad)[-1]


def wrist(q_rad: ArrayLike) -> Array:
    """(2, 3), m: the middles of the joint housings before the flange, which hang lowest when the hand is held up."""
    return np.stack([frame[:3, 3] for frame in _frames(q_rad)[4:6]])


def _error(T_goal: Array, T: Array) -> Array:
    turn = T_goal[:3, :3] @ T[:3, :3].T
    axis = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    sine = float(np.linalg.norm(axis)) / 2.0
    angle = atan2(sine, (float(np.trace(turn)) - 1.0) / 2.0)
    if sine > 1e-9:
        vector = axis * (angle / (2.0 * sine))
    elif angle < 1.0:
        vector = axis / 2.0
    else:  # half a turn: the axis is the eigenvector of eigenvalue 1
        vector = angle * np.sqrt(np.clip((np.diag(turn) + 1.0) / 2.0, 0.0, 1.0))
    return np.concatenate([T_goal[:3, 3] - T[:3, 3], _METRES_PER_RAD * vector])


def _descend(T_goal: Array, q: Array, iterations: int, tolerance: float) -> Array | None:
    for _ in range(iterations):
        frames = _frames(q)
        error = _error(T_goal, frames[-1])
        if float(np.abs(error).max()) < tolerance:
            return q
        jacobian = np.empty((6, AXES))
        for i, frame in enumerate(frames[:-1]):
            jacobian[:3, i] = np.cross(frame[:3, 2], frames[-1][:3, 3] - frame[:3, 3])
            jacobian[3:, i] = _METRES_PER_RAD * frame[:3, 2]
        damping = _DAMPING * min(1.0, float(error @ error) * 100.0 + 1e-6)
        step = np.linalg.solve(jacobian.T @ jacobian + damping * np.eye(AXES), jacobian.T @ error)
        largest = float(np.abs(step).max())
        q = np.clip(q + step * min(1.0, _STEP_RAD / max(largest, 1e-12)), LOW_RAD, HIGH_RAD)
    return None


def inverse(
    T_base_flange: ArrayLike, seed_rad: ArrayLike, *, restarts: int = 12, iterations: int = 60, tolerance: float = 1e-6
) -> Array | None:
    """Joint angles (6,), rad, that reach a flange pose, close to a seed; None where none is found.

    Args:
        T_base_flange: (4, 4), m.
        seed_rad: (6,), where to start; a posture near the present one.
        restarts: further starts, fixed ones, when the seed's own descent fails; 0 for following a path.
        iterations: steps of each descent.
        tolerance: largest error, m and 0.3 m times rad.
    """
    goal, q = np.asarray(T_base_flange, dtype=np.float64), np.clip(seed_rad, LOW_RAD, HIGH_RAD).astype(np.float64)
    rng = np.random.default_rng(0)
    for attempt in range(restarts + 1):
        found = _descend(goal, q, iterations, tolerance)
        if found is not None:
            return found
        spread = rng.uniform(np.maximum(LOW_RAD, -pi), np.minimum(HIGH_RAD, pi))
        q = np.asarray(seed_rad, dtype=np.float64) * 0.5 + spread * 0.5 if attempt % 2 == 0 else spread
        q = np.clip(q, LOW_RAD, HIGH_RAD)
    return None


def pose_from_rpy(position_m: ArrayLike, rpy_rad: ArrayLike) -> Array:
    """(4, 4) of a position (3,) in m and roll, pitch, yaw (3,) in rad: R = Rz(yaw) Ry(pitch) Rx(roll)."""
    (r, p, y), T = np.asarray(rpy_rad, dtype=np.float64), np.eye(4)
    cr, sr, cp, sp, cy, sy = cos(r), sin(r), cos(p), sin(p), cos(y), sin(y)
    T[:3, :3] = [
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ]
    T[:3, 3] = np.asarray(position_m, dtype=np.float64)
    return T


def rpy_from_rotation(rotation: ArrayLike) -> Array:
    """Roll, pitch, yaw (3,), rad, of a rotation (3, 3); yaw is 0 where pitch is a quarter turn."""
    R = np.asarray(rotation, dtype=np.float64)
    flat = hypot(R[0, 0], R[1, 0])
    if flat > 1e-9:
        return np.array([atan2(R[2, 1], R[2, 2]), atan2(-R[2, 0], flat), atan2(R[1, 0], R[0, 0])])
    return np.array([atan2(-R[1, 2], R[1, 1]), atan2(-R[2, 0], flat), 0.0])

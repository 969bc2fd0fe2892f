"""Forward and inverse kinematics of the arm with the hand's grasp site, for whole paths of many episodes at once.

The xArm6's wrist is not spherical: axes 4 and 5 meet, axis 6 passes 76 mm from them. Given the last angle everything
else is in closed form, so inverse kinematics is ONE equation in ONE unknown a pose, q6 = F(q6), which a secant
iteration solves; that is exact, tracks no neighbour, and costs a few elementwise operations, where a damped
least-squares search in six unknowns needs a 6 x 6 solve an iteration and a start close by. Four branches (elbow, wrist)
are solved for the whole path and one is chosen for all of it. All is elementwise: the bits do not depend on the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import atan2, hypot
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env.sim import robot
from deft_env.sim.rotations import matmul, rotate, wrap

Array = NDArray[np.float64]

LIMIT_MARGIN_RAD: Final = 0.02
"""Distance kept from every joint limit (our choice)."""
MAX_JOINT_SPEED_RAD_S: Final = 3.14
"""Fastest joint of the arm (xarm_description); a path that needs more is followed late, or refused (``DETOUR_M``)."""
TOLERANCE_M: Final = 1e-5
"""Largest error of a solution, metres plus metres-equivalent of rotation (our choice)."""
DETOUR_M: Final = 0.010
DETOUR_RAD: Final = 0.10
"""How far the hand may leave the path where a joint turns at its top speed, as near the wrist's singularity, where
joints 4 and 6 turn against each other while the hand hardly moves (our choice)."""
_ITERATIONS: Final = 9
_LOW: Final = np.array([link.range_rad[0] for link in robot.ARM]) + LIMIT_MARGIN_RAD
_HIGH: Final = np.array([link.range_rad[1] for link in robot.ARM]) - LIMIT_MARGIN_RAD

_Z1: Final = robot.ARM[0].origin_m[2]
_A, _B = robot.ARM[2].origin_m[:2]
_C, _D = robot.ARM[3].origin_m[:2]
_E, _F = robot.ARM[5].origin_m[:2]
_OFFSET: Final = np.array(robot.GRASP_SITE_FROM_FLANGE_M)
_L1, _PHI1 = hypot(_A, _B), atan2(_B, _A)
_L2, _PHI2 = hypot(_C, _D), atan2(_D, _C)
_BRANCHES: Final = ((1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0))
"""Signs of (elbow, sine of q5)."""


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Joint paths of N episodes.

    Attributes:
        q: (N, T, 6), rad; the best attempt where ``ok`` is False, inside the joint limits.
        ok: (N,) whether the whole path is reached, within limits and speeds.
        reason: N texts, empty where ``ok``.
    """

    q: Array
    ok: NDArray[np.bool_]
    reason: tuple[str, ...]


def forward(q: ArrayLike) -> tuple[Array, Array]:
    """Flange pose of joint angles (..., 6): position (..., 3) in m and rotation (..., 3, 3), robot base frame."""
    q = np.asarray(q, dtype=np.float64)
    position = np.zeros((*q.shape[:-1], 3))
    rotation = np.broadcast_to(np.eye(3), (*q.shape[:-1], 3, 3))
    for i, link in enumerate(robot.ARM):
        position = position + rotate(rotation, np.broadcast_to(np.array(link.origin_m), position.shape))
        turn = np.zeros((*q.shape[:-1], 3, 3))
        c, s = np.cos(q[..., i]), np.sin(q[..., i])
        # Every link's fixed rotation is about x by a multiple of a quarter turn, so its cosine and sine are 0 or +-1.
        cx, sx = round(np.cos(link.rpy_rad[0])), round(np.sin(link.rpy_rad[0]))
        turn[..., 0, 0], turn[..., 0, 1] = c, -s
        turn[..., 1, 0], turn[..., 1, 1], turn[..., 1, 2] = cx * s, cx * c, -sx
        turn[..., 2, 0], turn[..., 2, 1], turn[..., 2, 2] = sx * s, sx * c, cx
        rotation = matmul(rotation, turn)
    return position, rotation


def grasp_site(q: ArrayLike) -> tuple[Array, Array]:
    """Pose of the hand's grasp site for joint angles (..., 6): position (..., 3) in m, rotation (..., 3, 3)."""
    position, rotation = forward(q)
    return position + rotate(rotation, np.broadcast_to(_OFFSET, position.shape)), rotation


def flange_from_grasp(position_m: Array, rotation: Array) -> Array:
    """Flange position (..., 3) that puts the grasp site at ``position_m`` with the hand's ``rotation`` (..., 3, 3)."""
    return position_m - rotate(rotation, np.broadcast_to(_OFFSET, position_m.shape))


def _given_q6(p: Array, r: Array, wrist: tuple[Array, Array, Array], elbow: Array, flip: Array) -> list[Array]:
    """All six angles in closed form if joint 5 stands at ``wrist``; rows broadcast over branches. See the module."""
    wx, wy, wz = wrist
    q1 = np.arctan2(wy, wx)
    reach = np.sqrt(wx * wx + wy * wy)
    down = _Z1 - wz
    cosine = (reach * reach + down * down - (_L1 * _L1 + _L2 * _L2)) / (2.0 * _L1 * _L2)
    delta = elbow * np.arccos(np.clip(cosine, -1.0, 1.0))
    alpha = np.arctan2(down, reach) - np.arctan2(_L2 * np.sin(delta), _L1 + _L2 * np.cos(delta))
    q2 = wrap(alpha - _PHI1)
    q3 = delta - _PHI2 + _PHI1
    c1, s1, cg, sg = np.cos(q1), np.sin(q1), np.cos(q2 + q3), np.sin(q2 + q3)

    def in_link3(x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
        u = c1 * x + s1 * y
        return cg * u - sg * z, -sg * u - cg * z, c1 * y - s1 * x

    zx, zy, zz = in_link3(r[..., 0, 2], r[..., 1, 2], r[..., 2, 2])
    xx, xy, xz = in_link3(r[..., 0, 0], r[..., 1, 0], r[..., 2, 0])
    s5 = flip * np.sqrt(zx * zx + zz * zz)
    q5 = np.arctan2(s5, zy)
    q4 = np.arctan2(flip * zz, -flip * zx)
    c4, s4, c5 = np.cos(q4), np.sin(q4), zy
    q6 = np.arctan2(-s4 * xx - c4 * xz, c5 * c4 * xx + s5 * xy - c5 * s4 * xz)
    return [q1, q2, q3, q4, q5, q6]


def _branches(p: Array, r: Array) -> Array:
    """Angles (4, N, T, 6) of every branch; wrong where a pose is out of reach."""
    elbow = np.array([b[0] for b in _BRANCHES])[:, None, None]
    flip = np.array([b[1] for b in _BRANCHES])[:, None, None]
    centre = p - _F * r[..., :, 2]

    def solve(q6: Array | None) -> list[Array]:
        if q6 is None:  # the first guess ignores the 76 mm
            wrist = tuple(centre[None, ..., k] for k in range(3))
        else:
            c, s = _E * np.cos(q6), _E * np.sin(q6)
            wrist = tuple(centre[None, ..., k] - c * r[None, ..., k, 0] + s * r[None, ..., k, 1] for k in range(3))
        return _given_q6(p[None], r[None], wrist, elbow, flip)  # type: ignore[arg-type]

    x0 = np.broadcast_to(solve(None)[5], (len(_BRANCHES), *p.shape[:-1]))
    g0 = wrap(solve(x0)[5] - x0)
    x1 = x0 + g0
    for _ in range(_ITERATIONS):
        g1 = wrap(solve(x1)[5] - x1)
        slope = g1 - g0
        usable = np.abs(slope) > 1e-13
        step = np.where(usable, -g1 * (x1 - x0) / np.where(usable, slope, 1.0), g1)
        x0, g0, x1 = x1, g1, x1 + np.clip(step, -0.8, 0.8)
    angles = solve(x1)
    angles[5] = wrap(x1)
    return np.stack(np.broadcast_arrays(*angles), axis=-1)


def _within_speed(q: Array, periods_s: Array) -> tuple[Array, Array]:
    """The path with every joint held to its top speed, and how far each lags behind: both (..., T, 6), rad."""
    followed = q.copy()
    for t, period in enumerate(periods_s, start=1):
        most = MAX_JOINT_SPEED_RAD_S * period
        ahead = q[..., t, :] - followed[..., t - 1, :]
        late = np.abs(ahead) > most
        followed[..., t, :] = np.where(late, followed[..., t - 1, :] + np.sign(ahead) * most, q[..., t, :])
    return followed, np.abs(q - followed)


def solve_path(position_m: ArrayLike, rotation: ArrayLike, period_s: ArrayLike) -> Solution:
    """Joint angles along paths of the grasp site.

    Args:
        position_m: (N, T, 3) positions of the grasp site, m, robot base frame.
        rotation: (N, T, 3, 3) R_base_hand.
        period_s: scalar or (T - 1,), time between neighbouring waypoints, which bounds how far a joint may turn.

    Returns:
        For each episode the branch that is reachable, continuous and inside the limits over the WHOLE path and turns
        the joints least; where there is none, ``ok`` is False and ``reason`` says what is wrong with the best one.
    """
    target, rot = np.asarray(position_m, dtype=np.float64), np.asarray(rotation, dtype=np.float64)
    p = flange_from_grasp(target, rot)
    q = _branches(p, rot)
    q[:, :, 1:, :] = q[:, :, :1, :] + np.cumsum(wrap(np.diff(q, axis=2)), axis=2)
    reached, oriented = forward(q)
    error = np.abs(reached - p).max(axis=-1) + 0.1 * np.abs(oriented - rot).max(axis=(-1, -2))
    far: NDArray[np.bool_] = np.logical_not(error < TOLERANCE_M)
    outside = np.maximum(_LOW - q, q - _HIGH)
    limited: NDArray[np.bool_] = np.asarray(np.any(outside > 0.0, axis=-1))
    periods = np.broadcast_to(np.asarray(period_s, dtype=np.float64), (q.shape[2] - 1,))
    followed, lag = _within_speed(q, periods)
    fast: NDArray[np.bool_] = np.zeros(far.shape, dtype=bool)
    if lag.any():
        detour, turned = forward(followed)
        away = rotate(np.broadcast_to(rot, turned.shape), np.broadcast_to(_OFFSET, p.shape)) - rotate(
            turned, np.broadcast_to(_OFFSET, detour.shape)
        )
        fast = np.abs(p - detour + away).max(axis=-1) > DETOUR_M
        fast |= np.abs(turned - rot).max(axis=(-1, -2)) > DETOUR_RAD
        fast &= lag.any(axis=-1)
    travel = np.abs(np.diff(q, axis=2)).sum(axis=(2, 3)) + 0.02 * np.abs(q).sum(axis=(2, 3)) / q.shape[2]
    travel = travel + 10.0 * lag.sum(axis=(2, 3))  # a branch that follows exactly comes first
    bad = far.sum(axis=2) + limited.sum(axis=2) + fast.sum(axis=2)
    best = np.argmin(np.where(bad == 0, travel, 1e6 * (1.0 + bad) + 1e3 * far.sum(axis=2)), axis=0)
    rows = np.arange(q.shape[1])
    reasons = []
    for n, b in zip(rows, best, strict=True):  # texts only: no arithmetic per episode
        if bad[b, n] == 0:
            reasons.append("")
        elif far[b, n].any():
            reasons.append(f"unreachable: waypoint {int(np.argmax(far[b, n]))} is out of the arm's reach")
        elif limited[b, n].any():
            t = int(np.argmax(limited[b, n]))
            reasons.append(
                f"unreachable: joint {int(np.argmax(outside[b, n, t])) + 1} passes its limit at waypoint {t}"
            )
        else:
            t = int(np.argmax(fast[b, n]))
            joint = int(np.argmax(lag[b, n, t])) + 1
            reasons.append(f"unreachable: joint {joint} cannot turn fast enough at waypoint {t}")
    chosen = np.clip(followed[best, rows], _LOW, _HIGH)
    return Solution(chosen, bad[best, rows] == 0, tuple(reasons))

"""Forward and inverse kinematics of the arm with the hand's grasp site, for whole paths of many episodes at once.

The xArm6's wrist is not spherical: axes 4 and 5 meet, axis 6 passes 76 mm from them. Given the last angle everything
else is in closed form, so inverse kinematics is ONE equation in ONE unknown a pose, q6 = F(q6), which a secant
iteration solves; that is exact, tracks no neighbour, and costs a few elementwise operations, where a damped
least-squares search in six unknowns needs a 6 x 6 solve an iteration and a start close by. Four branches (elbow, wrist)
are solved for the whole path and one is chosen for all of it. All is elementwise: the bits do not depend on the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import atan2, hypot
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env.sim import robot
from deft_env.sim.rotations import rotate, wrap

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
_FEW: Final = 8
"""With fewer episodes than this, trying every branch at once is faster than finding the hopeful ones; same bits."""
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


def _forward(q: Sequence[Array]) -> tuple[list[Array], list[list[Array]]]:
    """Flange pose as components: position [3] and the COLUMNS [3] of the rotation, each of [3] arrays of one shape.

    A link turns about x by a multiple of a quarter turn and about z by its joint's angle; products with what is zero
    are left out. Arrays of components are an order of magnitude faster than stacks of 3 x 3 matrices.
    """
    zero, one = np.zeros_like(q[0]), np.ones_like(q[0])
    position, columns = [zero, zero, zero], [[one, zero, zero], [zero, one, zero], [zero, zero, one]]
    for angle, link in zip(q, robot.ARM, strict=True):
        for column, along in zip(columns, link.origin_m, strict=True):
            if along:
                position = [p + r * along for p, r in zip(position, column, strict=True)]
        x, y, z = columns
        cx, sx = round(np.cos(link.rpy_rad[0])), round(np.sin(link.rpy_rad[0]))
        if sx:
            y, z = ([sx * v for v in z], [-sx * v for v in y])
        else:
            y, z = ([cx * v for v in y], [cx * v for v in z])
        c, s = np.cos(angle), np.sin(angle)
        columns = [
            [u * c + v * s for u, v in zip(x, y, strict=True)],
            [v * c - u * s for u, v in zip(x, y, strict=True)],
            z,
        ]
    return position, columns


def forward(q: ArrayLike) -> tuple[Array, Array]:
    """Flange pose of joint angles (..., 6): position (..., 3) in m and rotation (..., 3, 3), robot base frame."""
    q = np.asarray(q, dtype=np.float64)
    position, columns = _forward([np.array(q[..., i], order="C") for i in range(q.shape[-1])])
    rotation = np.stack([np.stack(column, axis=-1) for column in columns], axis=-1)
    return np.stack(position, axis=-1), rotation


def grasp_site(q: ArrayLike) -> tuple[Array, Array]:
    """Pose of the hand's grasp site for joint angles (..., 6): position (..., 3) in m, rotation (..., 3, 3)."""
    position, rotation = forward(q)
    return position + rotate(rotation, np.broadcast_to(_OFFSET, position.shape)), rotation


def flange_from_grasp(position_m: Array, rotation: Array) -> Array:
    """Flange position (..., 3) that puts the grasp site at ``position_m`` with the hand's ``rotation`` (..., 3, 3)."""
    return position_m - rotate(rotation, np.broadcast_to(_OFFSET, position_m.shape))


def _given_q6(r: Array, wrist: tuple[Array, Array, Array], elbow: Array, flip: Array, q6_only: bool) -> list[Array]:
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
    q4 = np.arctan2(flip * zz, -flip * zx)
    c4, s4, c5 = np.cos(q4), np.sin(q4), zy
    q6 = np.arctan2(-s4 * xx - c4 * xz, c5 * c4 * xx + s5 * xy - c5 * s4 * xz)
    return [q6] if q6_only else [q1, q2, q3, q4, np.arctan2(s5, zy), q6]


def _solve(p: Array, r: Array, elbow: Array, flip: Array) -> Array:
    """Angles (M, T, 6) of flange poses (M, T, 3), (M, T, 3, 3) in each row's branch; wrong where out of reach.

    Args:
        p: flange positions.
        r: flange rotations.
        elbow: (M, 1) sign of the elbow.
        flip: (M, 1) sign of the sine of q5.
    """
    centre = p - _F * r[..., :, 2]

    def solve(q6: Array | None, q6_only: bool = True) -> list[Array]:
        if q6 is None:  # the first guess ignores the 76 mm
            wrist = tuple(centre[..., k] for k in range(3))
        else:
            c, s = _E * np.cos(q6), _E * np.sin(q6)
            wrist = tuple(centre[..., k] - c * r[..., k, 0] + s * r[..., k, 1] for k in range(3))
        return _given_q6(r, wrist, elbow, flip, q6_only)  # type: ignore[arg-type]

    x0 = solve(None)[-1]
    g0 = wrap(solve(x0)[-1] - x0)
    x1 = x0 + g0
    for _ in range(_ITERATIONS):
        g1 = wrap(solve(x1)[-1] - x1)
        slope = g1 - g0
        usable = np.abs(slope) > 1e-13
        step = np.where(usable, -g1 * (x1 - x0) / np.where(usable, slope, 1.0), g1)
        x0, g0, x1 = x1, g1, x1 + np.clip(step, -0.8, 0.8)
    angles = solve(x1, q6_only=False)
    angles[5] = wrap(x1)
    return np.stack(angles, axis=-1)


def _within_speed(q: Array, periods_s: Array) -> tuple[Array, Array]:
    """The path with every joint held to its top speed, and how far each lags behind: both (..., T, 6), rad."""
    followed = q.copy()
    for t, period in enumerate(periods_s, start=1):
        most = MAX_JOINT_SPEED_RAD_S * period
        ahead = q[..., t, :] - followed[..., t - 1, :]
        late = np.abs(ahead) > most
        followed[..., t, :] = np.where(late, followed[..., t - 1, :] + np.sign(ahead) * most, q[..., t, :])
    return followed, np.abs(q - followed)


@dataclass(frozen=True, slots=True, eq=False)
class _Attempt:
    """M whole paths, each in one branch: what is wrong with them, by waypoint.

    Attributes:
        followed: (M, T, 6) the path with joints held to their top speed.
        lag: (M, T, 6) how far each joint is behind, rad.
        outside: (M, T, 6) how far each joint is outside its limits, rad; negative inside.
        far: (M, T) out of reach.
        fast: (M, T) the lag takes the hand off the path.
        bad: (M,) number of faults.
        cost: (M,) least for the branch to take.
    """

    followed: Array
    lag: Array
    outside: Array
    far: NDArray[np.bool_]
    fast: NDArray[np.bool_]
    bad: NDArray[np.int_]
    cost: Array

    def reason(self, m: int) -> str:
        """Why path ``m`` cannot be played."""
        limited = (self.outside[m] > 0.0).any(axis=-1)
        if self.far[m].any():
            return f"unreachable: waypoint {int(np.argmax(self.far[m]))} is out of the arm's reach"
        if limited.any():
            t = int(np.argmax(limited))
            joint = int(np.argmax(self.outside[m, t])) + 1
            return f"unreachable: joint {joint} passes its limit at waypoint {t}"
        t = int(np.argmax(self.fast[m]))
        joint = int(np.argmax(self.lag[m, t])) + 1
        return f"unreachable: joint {joint} cannot turn fast enough at waypoint {t}"


def _attempt(
    position_m: Array, rotation: Array, periods_s: Array, branch: NDArray[np.intp], row: NDArray[np.intp]
) -> _Attempt:
    """Solves the flange paths ``row`` (M,) of (N, T, 3), (N, T, 3, 3), each in its ``branch`` (M,)."""
    p, rot = position_m[row], rotation[row]
    signs = np.array(_BRANCHES)[branch]
    q = _solve(p, rot, signs[:, :1], signs[:, 1:])
    q[:, 1:, :] = q[:, :1, :] + np.cumsum(wrap(np.diff(q, axis=1)), axis=1)
    reached, oriented = forward(q)
    error = np.abs(reached - p).max(axis=-1) + 0.1 * np.abs(oriented - rot).max(axis=(-1, -2))
    far: NDArray[np.bool_] = np.logical_not(error < TOLERANCE_M)
    outside = np.maximum(_LOW - q, q - _HIGH)
    limited: NDArray[np.bool_] = np.asarray(np.any(outside > 0.0, axis=-1))
    followed, lag = _within_speed(q, periods_s)
    fast: NDArray[np.bool_] = np.zeros(far.shape, dtype=bool)
    if lag.any():
        detour, turned = forward(followed)
        offset = np.broadcast_to(_OFFSET, p.shape)
        away = rotate(np.broadcast_to(rot, turned.shape), offset) - rotate(turned, offset)
        fast = np.abs(p - detour + away).max(axis=-1) > DETOUR_M
        fast |= np.abs(turned - rot).max(axis=(-1, -2)) > DETOUR_RAD
        fast &= lag.any(axis=-1)
    travel = np.abs(np.diff(q, axis=1)).sum(axis=(1, 2)) + 0.02 * np.abs(q).sum(axis=(1, 2)) / q.shape[1]
    travel = travel + 10.0 * lag.sum(axis=(1, 2))  # a branch that follows exactly comes first
    bad = far.sum(axis=1) + limited.sum(axis=1) + fast.sum(axis=1)
    cost = np.where(bad == 0, travel, 1e6 * (1.0 + bad) + 1e3 * far.sum(axis=1))
    return _Attempt(followed, lag, outside, far, fast, bad, cost)


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
    n, steps = p.shape[:2]
    periods = np.broadcast_to(np.asarray(period_s, dtype=np.float64), (steps - 1,))
    hopeful = np.ones((len(_BRANCHES), n), dtype=bool)
    if n >= _FEW:
        # A branch that fails at the first waypoint fails; most do, and need no further look unless all four fail.
        starts = _attempt(p[:, :1], rot[:, :1], periods[:0], *np.nonzero(hopeful))
        hopeful = (starts.bad == 0).reshape(hopeful.shape)
    cost, q = np.full(hopeful.shape, np.inf), np.empty((n, steps, 6))
    solved, reasons = np.zeros(n, dtype=bool), [""] * n
    for which in (hopeful, np.broadcast_to(~hopeful, hopeful.shape)):
        wanted = which & ~solved
        if not wanted.any():
            continue
        branch, row = np.nonzero(wanted)
        tried = _attempt(p, rot, periods, branch, row)
        cost[branch, row] = tried.cost
        place = np.full(hopeful.shape, -1)
        place[branch, row] = np.arange(row.size)
        best = place[np.argmin(cost, axis=0), np.arange(n)]
        here = np.flatnonzero(best >= 0)
        q[here] = tried.followed[best[here]]
        solved[here] = tried.bad[best[here]] == 0
        for i in here:
            reasons[i] = "" if solved[i] else tried.reason(int(best[i]))
    return Solution(np.clip(q, _LOW, _HIGH), solved, tuple(reasons))

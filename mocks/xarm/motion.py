"""Queued motions of the stand-in: a joint path that is played in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import acos, ceil, sin, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deft_env.rigs.real.arm import xarm_kinematics
from deft_mocks.xarm.wire import Request

Array = NDArray[np.float64]

_WAYPOINT_M: Final = 0.01
_WAYPOINT_RAD: Final = 0.05
_JUMP_RAD: Final = 1.0
"""Two neighbouring waypoints of a line further apart than this are a singularity, not a path (our choice)."""


_ARRIVED_RAD: Final = 0.002
_SETTLE_S: Final = 1.0


class Unreachable(ValueError):
    """A motion has no joint path."""


def ramp(distance: float, speed: float, acceleration: float) -> tuple[float, Callable[[float], float]]:
    """Duration (s) and progress in [0, 1] over time of a trapezoidal speed profile over ``distance``."""
    if distance < 1e-9:
        return 0.0, lambda _t: 1.0
    top = min(speed, sqrt(distance * acceleration))
    rise = top / acceleration
    total = distance / top + rise

    def progress(t: float) -> float:
        if t >= total:
            return 1.0
        if t < rise:
            travelled = 0.5 * acceleration * t * t
        elif t < total - rise:
            travelled = top * (t - 0.5 * rise)
        else:
            travelled = distance - 0.5 * acceleration * (total - t) ** 2
        return travelled / distance

    return total, progress


def _slerp(a: Array, b: Array, s: float) -> Array:
    turn = a.T @ b
    angle = acos(float(np.clip((np.trace(turn) - 1.0) / 2.0, -1.0, 1.0)))
    if angle < 1e-9:
        return a
    if angle > np.pi - 1e-6:
        raise Unreachable("a line that turns by half a turn has no unique way")
    skew = (turn - turn.T) * (0.5 / sin(angle))
    return a @ (np.eye(3) + sin(s * angle) * skew + (1.0 - np.cos(s * angle)) * (skew @ skew))


def line_path(T_start: Array, T_goal: Array, T_tcp_flange: Array, q_start: Array) -> Array:
    """Joint waypoints (n, 6) along which the tool's point goes straight; raises Unreachable.

    Args:
        T_start: T_base_tcp (4, 4) at the start, m.
        T_goal: T_base_tcp (4, 4) at the end, m.
        T_tcp_flange: (4, 4), the inverse of the tool offset.
        q_start: (6,), rad.
    """
    length = float(np.linalg.norm(T_goal[:3, 3] - T_start[:3, 3]))
    cosine = (float(np.trace(T_start[:3, :3].T @ T_goal[:3, :3])) - 1.0) / 2.0
    n = max(1, ceil(length / _WAYPOINT_M), ceil(acos(float(np.clip(cosine, -1.0, 1.0))) / _WAYPOINT_RAD))
    path, q = [q_start], q_start
    for i in range(1, n + 1):
        T = np.eye(4)
        T[:3, 3] = T_start[:3, 3] + (T_goal[:3, 3] - T_start[:3, 3]) * (i / n)
        T[:3, :3] = _slerp(T_start[:3, :3], T_goal[:3, :3], i / n)
        found = xarm_kinematics.inverse(T @ T_tcp_flange, q, restarts=0)
        if found is None or float(np.abs(found - q).max()) > _JUMP_RAD:
            raise Unreachable(f"waypoint {i} of {n} of the line has no posture near the one before")
        q = found
        path.append(q)
    return np.array(path)


@dataclass(slots=True)
class Motion:
    """A motion in the queue; ``plan`` runs when its turn comes, since it starts where the one before ended.

    Attributes:
        request: the command, for its feedback frame.
        connection: who sent it.
        feedback_type: which feedback its sender asked for.
        plan: joints (6,) -> (waypoints (n, 6), duration s, progress over time); raises Unreachable.
        moves: False for a marker that only waits for its turn.
    """

    request: Request
    connection: int
    feedback_type: int
    task: int
    plan: Callable[[Array], tuple[Array, float, Callable[[float], float]]]
    moves: bool = True
    path: Array | None = None
    duration_s: float = 0.0
    elapsed_s: float = 0.0
    progress: Callable[[float], float] = lambda _t: 1.0

    def start(self, q: Array) -> None:
        """Plans the path from ``q`` (6,), rad."""
        self.path, self.duration_s, self.progress = self.plan(q)

    def advance(self, dt_s: float) -> Array:
        """Joint target (6,), rad, after another ``dt_s``."""
        assert self.path is not None, "start() comes first"
        self.elapsed_s += dt_s
        at = self.progress(self.elapsed_s) * (len(self.path) - 1)
        low = min(int(at), len(self.path) - 1)
        high = min(low + 1, len(self.path) - 1)
        return self.path[low] + (self.path[high] - self.path[low]) * (at - low)

    def finished(self, q: Array) -> bool:
        """Whether its time is over and the joints ``q`` have come to rest at its end (or have had a second to)."""
        late_s = self.elapsed_s - self.duration_s
        if late_s < 0.0:
            return False
        assert self.path is not None, "start() comes first"
        return late_s > _SETTLE_S or float(np.abs(q - self.path[-1]).max()) < _ARRIVED_RAD

"""What the driver refuses to send: wrong shapes, joint limits, the boundary, jumps. Checked before anything moves."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from deft_env.rigs.real.arm import xarm_kinematics
from deft_env.rigs.real.arm.config import ArmConfig
from deft_env.rigs.real.arm.errors import ArmLimit
from deft_env.rigs.real.arm.xarm_kinematics import HIGH_RAD, LOW_RAD, Array

_SWEEP: Final = 12
"""Postures that are checked along a joint motion (our choice); the controller's own boundary watches the rest."""


def joints(values: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Finite joint angles of ``shape`` (-1: any length), rad; ValueError otherwise."""
    q = np.array(values, dtype=np.float64)
    wanted = tuple(q.shape[i] if n < 0 and i < q.ndim else n for i, n in enumerate(shape))
    if q.shape != wanted or q.size == 0 or not np.isfinite(q).all():
        raise ValueError(f"joint angles: shape {shape} of finite numbers expected (rad), got shape {q.shape}")
    return q


def pose(value: ArrayLike) -> Array:
    """A transform (4, 4) with a true rotation, m; ValueError otherwise."""
    T = np.asarray(value, dtype=np.float64)
    if T.shape != (4, 4) or not np.isfinite(T).all() or not np.allclose(T[3], (0, 0, 0, 1)):
        raise ValueError(f"T_base_tcp: a finite (4, 4) transform expected (m), got shape {T.shape}")
    if not np.allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3), atol=1e-6) or np.linalg.det(T[:3, :3]) < 0.0:
        raise ValueError("T_base_tcp: its upper left 3 x 3 block is no rotation")
    return T


def inside(config: ArmConfig, point_m: Array, operation: str, what: str, step: int | None = None) -> None:
    """ArmLimit unless the point (3,), m, lies inside the boundary."""
    low, high = config.boundary_low_m, config.boundary_high_m
    if (point_m < np.array(low)).any() or (point_m > np.array(high)).any():
        raise _limit(
            operation, step, f"{what} outside the boundary {low} to {high} m, at {np.round(point_m, 4).tolist()}"
        )


def waypoint(config: ArmConfig, q: Array, operation: str, step: int | None = None) -> None:
    """ArmLimit unless joint angles (6,), rad, keep off the joint limits and the tool inside the boundary."""
    margin = config.limit_margin_rad
    outside = np.maximum(LOW_RAD + margin - q, q - HIGH_RAD + margin)
    if (outside > 0.0).any():
        j = int(np.argmax(outside))
        where = f"{LOW_RAD[j] + margin:.3f} to {HIGH_RAD[j] - margin:.3f} rad"
        raise _limit(operation, step, f"joint {j + 1} within {where} expected, got {q[j]:.3f}")
    inside(config, (xarm_kinematics.forward(q) @ config.T_flange_tcp)[:3, 3], operation, "the tool comes", step)


def sweep(config: ArmConfig, start: Array, goal: Array, operation: str) -> None:
    """``waypoint`` along a joint motion from ``start`` to ``goal``, (6,) rad."""
    for s in np.linspace(0.0, 1.0, _SWEEP)[1:]:
        waypoint(config, start + s * (goal - start), operation)


def joint_stream(config: ArmConfig, path: Array, start: Array, operation: str) -> None:
    """``waypoint`` for each of (N, 6) and ArmLimit for steps that are too wide, the first one from ``start``."""
    steps = np.abs(np.diff(path, axis=0, prepend=start[None])).max(axis=1)
    for i, (q, step) in enumerate(zip(path, steps, strict=True)):
        waypoint(config, q, operation, i)
        if step > config.servo_step_rad:
            raise _jump(operation, i, f"{step:.3f} rad, at most {config.servo_step_rad}")


def pose_stream(config: ArmConfig, path: Array, start: Array, operation: str) -> None:
    """``inside`` for each of (N, 4, 4) and ArmLimit for steps that are too wide, the first one from ``start``."""
    before = start
    for i, T in enumerate(path):
        inside(config, T[:3, 3], operation, "the waypoint is", i)
        step_m = float(np.linalg.norm(T[:3, 3] - before[:3, 3]))
        cosine = (float(np.trace(before[:3, :3].T @ T[:3, :3])) - 1.0) / 2.0
        step_rad = float(np.arccos(np.clip(cosine, -1.0, 1.0)))
        if step_m > config.servo_step_m or step_rad > config.servo_step_rad:
            most = f"at most {config.servo_step_m} m and {config.servo_step_rad} rad"
            raise _jump(operation, i, f"{step_m:.3f} m and {step_rad:.3f} rad, {most}")
        before = T


def _limit(operation: str, step: int | None, what: str, do: str = "") -> ArmLimit:
    error = ArmLimit(operation, what, do=do)
    error.step = step
    return error


def _jump(operation: str, step: int, what: str) -> ArmLimit:
    return _limit(operation, step, f"waypoint {step} jumps by {what}", "send a finer path that starts where the arm is")

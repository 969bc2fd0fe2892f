"""Fits the motor map's curves and couplings to recorded pairs, one bounded least squares a joint; see ``motor_map``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env import grasp, paper

Array = NDArray[np.float64]

KNOTS: Final = 9
MIN_SLOPE: Final = 0.02
"""Smallest slope of a curve, rad/rad: what makes it strictly monotone, hence invertible."""
SMOOTHING: Final = 1e-3
"""Weight of the ridge on second differences and couplings, relative to one pair (our choice)."""
_DRIVER: Final = {"side": "side", "forward": "forward", "pip": "curl", "dip": "curl"}


def _drivers() -> tuple[int, ...]:
    names = [tuple(name.split("_")) for name in grasp.JOINT_NAMES]
    return tuple(grasp.MOTOR_NAMES.index(f"{finger}_{_DRIVER[joint]}") for finger, joint in names)


DRIVERS: Final = _drivers()
"""Index of the motor that drives each joint."""
COUPLED: Final = np.array([[m // 3 == DRIVERS[j] // 3 and m != DRIVERS[j] for m in range(12)] for j in range(16)])
"""(16, 12) which other motors may pull on a joint: those of its own finger."""


@dataclass(frozen=True, slots=True)
class JointResidual:
    """How well one joint is predicted, rad: in the fit, and on pairs left out of it (5 interleaved folds)."""

    joint: str
    pairs: int
    rms_rad: float
    max_rad: float
    held_out_rms_rad: float


def fit_joints(
    motors_rad: ArrayLike, joints_rad: ArrayLike, knots: int = KNOTS, smoothing: float = SMOOTHING
) -> tuple[Array, Array, Array, tuple[JointResidual, ...]]:
    """Knots (12, K), curves (16, K), couplings (16, 12) and residuals; arguments and errors: ``MotorMap.fit``."""
    motors = grasp.check(motors_rad, "motors_rad", 12)
    joints = np.asarray(joints_rad, dtype=np.float64)
    if motors.ndim != 2 or joints.shape != (len(motors), paper.FINGER_JOINTS):
        raise ValueError(f"motors_rad, joints_rad: expected (N, 12) and (N, 16), got {motors.shape} and {joints.shape}")
    span = np.ptp(motors, axis=0) if len(motors) else np.zeros(12)
    if np.any(span < 0.1):
        still = [grasp.MOTOR_NAMES[m] for m in np.flatnonzero(span < 0.1)]
        raise ValueError(f"motors_rad: {still} moved less than 0.1 rad; record pairs over the whole range")
    grid = np.linspace(motors.min(axis=0), motors.max(axis=0), knots, axis=1)
    values, coupling = np.empty((16, knots)), np.zeros((16, 12))
    residuals = []
    for j, name in enumerate(grasp.JOINT_NAMES):
        seen = np.isfinite(joints[:, j])
        if seen.sum() < 2 * knots:
            raise ValueError(f"joints_rad: {name!r} was seen in {seen.sum()} pairs, at least {2 * knots} needed")
        m, q = motors[seen], joints[seen, j]
        values[j], coupling[j] = _fit_joint(m, q, j, grid[DRIVERS[j]], smoothing)
        error = q - _curve(m, j, grid, values[j], coupling[j])
        residuals.append(
            JointResidual(
                name,
                int(seen.sum()),
                float(np.sqrt(np.mean(error**2))),
                float(np.abs(error).max()),
                _held_out(m, q, j, grid, smoothing),
            )
        )
    return grid, values, coupling, tuple(residuals)


def _curve(motors: Array, j: int, grid: Array, values: Array, coupling: Array) -> Array:
    return np.interp(motors[:, DRIVERS[j]], grid[DRIVERS[j]], values) + motors @ coupling


def _fit_joint(motors: Array, q: Array, j: int, knots: Array, smoothing: float) -> tuple[Array, Array]:
    """One joint's curve and coupling: bounded least squares in (offset, increments, couplings), the better direction.

    Parametrising by increments turns "strictly monotone" into a lower bound.
    """
    from scipy.optimize import lsq_linear

    k, x = len(knots), motors[:, DRIVERS[j]]
    width = np.diff(knots)
    ramps = np.clip((x[:, None] - knots[None, :-1]) / width, 0.0, 1.0)
    others = np.flatnonzero(COUPLED[j])
    design = np.hstack([np.ones((len(x), 1)), ramps, motors[:, others]])
    ridge = np.sqrt(smoothing * len(x))
    bend = np.zeros((k - 2, design.shape[1]))
    for i in range(k - 2):
        bend[i, 1 + i], bend[i, 2 + i] = -ridge, ridge
    pull = np.zeros((len(others), design.shape[1]))
    pull[:, k:] = ridge * np.eye(len(others)) * 0.1
    a = np.vstack([design, bend, pull])
    b = np.concatenate([q, np.zeros(len(bend) + len(pull))])
    best = None
    for sign in (1.0, -1.0):
        step = MIN_SLOPE * width
        low = np.concatenate([[-np.inf], step if sign > 0 else np.full(k - 1, -np.inf), np.full(len(others), -np.inf)])
        high = np.concatenate([[np.inf], np.full(k - 1, np.inf) if sign > 0 else -step, np.full(len(others), np.inf)])
        found = lsq_linear(a, b, bounds=(low, high), method="bvls")
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    values = best.x[0] + np.concatenate([[0.0], np.cumsum(best.x[1:k])])
    coupling = np.zeros(12)
    coupling[others] = best.x[k:]
    return values, coupling


def _held_out(motors: Array, q: Array, j: int, grid: Array, smoothing: float, folds: int = 5) -> float:
    """Root mean square error on pairs left out of the fit; folds interleave, since a recording sweeps."""
    errors = []
    for fold in range(folds):
        out = np.arange(len(q)) % folds == fold
        values, coupling = _fit_joint(motors[~out], q[~out], j, grid[DRIVERS[j]], smoothing)
        errors.append(q[out] - _curve(motors[out], j, grid, values, coupling))
    return float(np.sqrt(np.mean(np.concatenate(errors) ** 2)))

"""How motors move the fingers, recorded: which poses to visit, what was seen there, and a motor map that holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env import grasp
from deft_env.episode import generator
from deft_env.rigs.real.calibration.error import CalibrationError
from deft_env.rigs.real.hand import MotorMap

Array = NDArray[np.float64]

OUTLIER_RAD: Final = 0.15
MAX_OUTLIERS: Final = 0.2
"""A sighting this far off may be wrong; if more than this share of a joint's are, something else is (our choice)."""
_ROUNDS: Final = 5
FINGERS_APART: Final = (("index", "middle", "ring"), ("thumb",))
"""Fingers that sweep together; the others rest open, so that thumb and fingers hardly touch while recording."""


def motor_targets(
    low_rad: ArrayLike,
    high_rad: ArrayLike,
    *,
    fingers: Sequence[str] = grasp.FINGER_NAMES,
    steps: int = 12,
    mixed: int = 60,
    seed: int = 0,
) -> Array:
    """Motor angles (N, 12) to visit for the map: each motor up and down alone, then mixed poses.

    Args:
        low_rad: (12,) in the order of ``grasp.MOTOR_NAMES``.
        high_rad: (12,).
        fingers: that move; the others rest open.
        steps: poses of each sweep, one way; both ways are visited, since tendons have hysteresis.
        mixed: random poses per group of fingers, which show the couplings.
        seed: of the random poses.
    """
    low, high = grasp.check(low_rad, "low_rad", 12), grasp.check(high_rad, "high_rad", 12)
    if np.any(low >= high) or steps < 2 or mixed < 0:
        raise ValueError("low_rad, high_rad, steps: expected low below high and at least 2 steps")
    if not fingers or not set(fingers) <= set(grasp.FINGER_NAMES):
        raise ValueError(f"fingers: expected some of {grasp.FINGER_NAMES}, got {tuple(fingers)}")
    rest = np.clip(np.zeros(12), low, high)
    random, rows = generator("calibration", "motors", seed), []
    there_and_back = np.concatenate([np.linspace(0, 1, steps), np.linspace(1, 0, steps)])
    for group in FINGERS_APART:
        chosen = [3 * grasp.FINGER_NAMES.index(finger) for finger in group if finger in fingers]
        if not chosen:
            continue
        for kind in range(3):
            for share in there_and_back:
                row = rest.copy()
                for base in chosen:
                    row[base + kind] = low[base + kind] + share * (high - low)[base + kind]
                rows.append(row)
        for _ in range(mixed):
            row = rest.copy()
            for base in chosen:
                row[base : base + 3] = random.uniform(low[base : base + 3], high[base : base + 3])
            rows.append(row)
    return np.array(rows)


def record_motor_pairs(
    move: Callable[[Array], Array],
    observe: Callable[[], Array],
    targets: ArrayLike,
    *,
    report: Callable[[str], None] = lambda text: None,
) -> tuple[Array, Array]:
    """Visits motor targets and notes what the fingers do.

    Args:
        move: takes motor angles (12,), waits until they have settled and returns where the motors really are.
        observe: returns the joint angles seen (16,), NaN for a hidden joint.
        targets: (N, 12) from ``motor_targets``.
        report: hears one line a pose.

    Returns:
        Motor angles (N, 12) and joint angles (N, 16), for ``MotorMap.fit``.
    """
    wanted = grasp.check(targets, "targets", 12)
    motors, joints = [], []
    for i, target in enumerate(wanted):
        motors.append(grasp.check(move(target), "move's answer", 12))
        seen = np.asarray(observe(), dtype=np.float64)
        if seen.shape != (16,):
            raise ValueError(f"observe: expected shape (16,), got {seen.shape}")
        joints.append(seen)
        report(f"pose {i + 1} of {len(wanted)}: {int(np.isfinite(seen).sum())} of 16 joints seen")
    return np.array(motors), np.array(joints)


def fit_motor_map(
    motors_rad: ArrayLike,
    joints_rad: ArrayLike,
    *,
    max_rms_rad: float = 0.1,
    report: Callable[[str], None] = lambda text: None,
) -> MotorMap:
    """Fits the map, leaves out what was seen wrongly, and refuses a map that predicts badly on poses left out.

    A marker's picture may be that of another pose, and a finger may touch another, which no average mends: sightings
    further off than ``OUTLIER_RAD`` and five times what is usual of their joint are left out, and the map is fitted
    again.

    Args:
        motors_rad: (N, 12).
        joints_rad: (N, 16), NaN where a joint was hidden.
        max_rms_rad: greatest held-out error.
        report: hears one line a joint of which something was left out.

    Raises:
        CalibrationError: naming the joints whose held-out error is too large, or of which too much was seen wrongly.
    """
    motors, joints = np.asarray(motors_rad, dtype=np.float64), np.array(joints_rad, dtype=np.float64)
    try:
        found = MotorMap.fit(motors, joints)
        seen = np.isfinite(joints).sum(axis=0)
        for _ in range(_ROUNDS):
            error = np.abs(joints - found.predict(motors))
            usual = 1.4826 * np.nanmedian(error, axis=0)
            wrong = error > np.maximum(OUTLIER_RAD, 5.0 * usual)
            if not wrong.any():
                break
            joints[wrong] = np.nan
            found = MotorMap.fit(motors, joints)
    except ValueError as error:
        raise CalibrationError(f"the pairs do not suffice: {error}") from error
    lost = seen - np.isfinite(joints).sum(axis=0)
    for name, few, many in zip(grasp.JOINT_NAMES, lost, seen, strict=True):
        if few > MAX_OUTLIERS * many:
            raise CalibrationError(
                f"{name}: {few} of {many} sightings do not fit the others; larger markers, or nearer"
            )
        if few:
            report(f"{name}: left out {few} of {many} sightings, which do not fit the others")
    bad = [f"{r.joint} {r.held_out_rms_rad:.3f}" for r in found.residuals if r.held_out_rms_rad > max_rms_rad]
    if bad:
        raise CalibrationError(
            f"held-out error above {max_rms_rad} rad: {', '.join(bad)}; check tendons, markers and the order of motors"
        )
    return found

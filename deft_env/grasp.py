"""The 22-D grasp: names, slices, units, bounds, frames, prior + residual, and what twelve motors can do.

Layout (paper, Table 1): ``mu`` (3, m, robot base frame), ``wrist`` (3, rad, roll-pitch-yaw relative to the task's
nominal orientation), ``fingers`` (16, rad). Every function is vectorised over leading axes and works in float64.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env import paper

Array = NDArray[np.float64]

DIM: Final = paper.GRASP_DIM
MU: Final = slice(0, 3)
WRIST: Final = slice(3, 6)
FINGERS: Final = slice(6, 22)
GROUPS: Final = {"mu": MU, "wrist": WRIST, "fingers": FINGERS}
"""The three groups of coordinates, by name."""

FINGER_NAMES: Final = ("index", "middle", "ring", "thumb")
JOINTS_PER_FINGER: Final = ("side", "forward", "pip", "dip")
MOTORS_PER_FINGER: Final = ("side", "forward", "curl")
JOINT_NAMES: Final = tuple(f"{f}_{j}" for f in FINGER_NAMES for j in JOINTS_PER_FINGER)
MOTOR_NAMES: Final = tuple(f"{f}_{m}" for f in FINGER_NAMES for m in MOTORS_PER_FINGER)
NAMES: Final = ("mu_x", "mu_y", "mu_z", "wrist_roll", "wrist_pitch", "wrist_yaw", *JOINT_NAMES)
UNITS: Final = ("m",) * 3 + ("rad",) * 19


def _constant(values: ArrayLike) -> Array:
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


SIGMA: Final = _constant(
    [paper.SIGMA_MU_M] * 3 + [paper.SIGMA_WRIST_RAD] * 3 + [paper.SIGMA_FINGERS_RAD] * paper.FINGER_JOINTS
)
"""Initial standard deviation of the residual, (22,), in m and rad (paper, Table 4)."""
RESIDUAL_HIGH: Final = _constant(paper.RESIDUAL_LIMIT_SIGMA * SIGMA)
RESIDUAL_LOW: Final = _constant(-paper.RESIDUAL_LIMIT_SIGMA * SIGMA)

DIP_PER_PIP: Final = 0.7
"""DIP angle per PIP angle when one tendon pulls both and nothing is in the way (assumed; see PROVENANCE.md)."""
FINGER_RANGES_RAD: Final = {"side": (-0.35, 0.35), "forward": (-0.2, 1.4), "pip": (0.0, 1.3), "dip": (0.0, 0.91)}
"""Joint ranges of the soft hand (assumed): sub-human curl, which the paper names as its limitation."""
THUMB_RANGES_RAD: Final = {"side": (-0.35, 0.35), "forward": (-0.6, 1.4), "pip": (0.0, 1.3), "dip": (0.0, 0.91)}

_RANGES: Final = [
    (THUMB_RANGES_RAD if f == "thumb" else FINGER_RANGES_RAD)[j] for f in FINGER_NAMES for j in JOINTS_PER_FINGER
]
WORKSPACE_LOW_M: Final = _constant([0.20, -0.40, 0.005])
WORKSPACE_HIGH_M: Final = _constant([0.70, 0.40, 0.50])
"""Box in which ``mu`` must lie, robot base frame, table top at z = 0 (our choice; inside the xArm6's reach)."""
WRIST_LIMIT_RAD: Final = 1.5
"""Each wrist angle stays inside (-pi/2, pi/2), away from the gimbal (our choice)."""
LOW: Final = _constant([*WORKSPACE_LOW_M, *[-WRIST_LIMIT_RAD] * 3, *[lo for lo, _ in _RANGES]])
HIGH: Final = _constant([*WORKSPACE_HIGH_M, *[WRIST_LIMIT_RAD] * 3, *[hi for _, hi in _RANGES]])

_SIDE: Final = np.arange(0, 16, 4)
_FORWARD: Final = _SIDE + 1
_PIP: Final = _SIDE + 2
_DIP: Final = _SIDE + 3


def check(array: ArrayLike, name: str, dim: int = DIM) -> Array:
    """Returns ``array`` as finite float64 with a last axis of ``dim``.

    Raises:
        ValueError: if the shape is wrong or a value is not finite; the message names ``name`` and what came.
    """
    out = np.asarray(array, dtype=np.float64)
    if out.ndim == 0 or out.shape[-1] != dim:
        raise ValueError(f"{name}: expected an array whose last axis has {dim} entries, got shape {out.shape}")
    if not np.isfinite(out).all():
        where = np.argwhere(~np.isfinite(out))[0]
        raise ValueError(f"{name}: every entry must be finite, but entry {tuple(int(i) for i in where)} is not")
    return out


def whiten(residual: ArrayLike) -> Array:
    """Residual in physical units (..., 22) -> units of sigma, in which agents think."""
    return check(residual, "residual") / SIGMA


def unwhiten(z: ArrayLike) -> Array:
    """Residual in units of sigma (..., 22) -> m and rad."""
    return check(z, "z") * SIGMA


def compose(prior: ArrayLike, residual: ArrayLike) -> Array:
    """The wished grasp ``prior + residual`` (..., 22), before any limit (paper, section 3.2)."""
    return check(prior, "prior") + check(residual, "residual")


def limit(grasp: ArrayLike) -> Array:
    """Clips a grasp (..., 22) to workspace, wrist and joint limits; idempotent."""
    return np.clip(check(grasp, "grasp"), LOW, HIGH)


def joints_to_motors(fingers: ArrayLike) -> Array:
    """Projects 16 joint angles (..., 16) orthogonally onto what 12 motors can do (..., 12), within the ranges.

    Side and forward have a motor each; PIP and DIP share one (``curl``, whose unit is the PIP angle in rad). The
    joint and motor ranges are respected, so that ``motors_to_joints`` of the result is always a legal pose.
    """
    q = np.clip(check(fingers, "fingers", paper.FINGER_JOINTS), LOW[FINGERS], HIGH[FINGERS])
    curl = (q[..., _PIP] + DIP_PER_PIP * q[..., _DIP]) / (1.0 + DIP_PER_PIP**2)
    high = np.minimum(HIGH[FINGERS][_PIP], HIGH[FINGERS][_DIP] / DIP_PER_PIP)
    motors = np.empty((*q.shape[:-1], len(MOTOR_NAMES)))
    motors[..., 0::3], motors[..., 1::3] = q[..., _SIDE], q[..., _FORWARD]
    motors[..., 2::3] = np.clip(curl, LOW[FINGERS][_PIP], high)
    return motors


def motors_to_joints(motors: ArrayLike) -> Array:
    """12 motor angles (..., 12) -> the 16 joint angles (..., 16) that they command in free air."""
    m = check(motors, "motors", len(MOTOR_NAMES))
    q = np.empty((*m.shape[:-1], paper.FINGER_JOINTS))
    q[..., _SIDE], q[..., _FORWARD] = m[..., 0::3], m[..., 1::3]
    q[..., _PIP], q[..., _DIP] = m[..., 2::3], DIP_PER_PIP * m[..., 2::3]
    return q


def executable(grasp: ArrayLike) -> Array:
    """The grasp (..., 22) that a rig really commands: limits, then the projection onto twelve motors; idempotent."""
    out = limit(grasp)
    out[..., FINGERS] = motors_to_joints(joints_to_motors(out[..., FINGERS]))
    return out


def wrist_to_rotation(wrist: ArrayLike, nominal: ArrayLike) -> Array:
    """Wrist angles (..., 3) -> R_base_hand (..., 3, 3) = Rz(yaw) Ry(pitch) Rx(roll) @ nominal (our convention)."""
    w = check(wrist, "wrist", paper.WRIST_DIM)
    (cr, cp, cy), (sr, sp, sy) = np.moveaxis(np.cos(w), -1, 0), np.moveaxis(np.sin(w), -1, 0)
    rotation = np.empty((*w.shape[:-1], 3, 3))
    rotation[..., 0, 0], rotation[..., 0, 1], rotation[..., 0, 2] = (
        cy * cp,
        cy * sp * sr - sy * cr,
        cy * sp * cr + sy * sr,
    )
    rotation[..., 1, 0], rotation[..., 1, 1], rotation[..., 1, 2] = (
        sy * cp,
        sy * sp * sr + cy * cr,
        sy * sp * cr - cy * sr,
    )
    rotation[..., 2, 0], rotation[..., 2, 1], rotation[..., 2, 2] = -sp, cp * sr, cp * cr
    # Elementwise sums, not BLAS: the same bits for any number of grasps in the batch.
    return np.einsum("...ij,jk->...ik", rotation, np.asarray(nominal, dtype=np.float64), optimize=False)


def rotation_to_wrist(rotation: ArrayLike, nominal: ArrayLike) -> Array:
    """R_base_hand (..., 3, 3) -> wrist angles (..., 3), each in (-pi/2, pi/2) for orientations near the nominal one.

    Raises:
        ValueError: if the rotation is a quarter turn or more of pitch from the nominal one, where the angles are lost.
    """
    r = np.einsum("...ij,kj->...ik", np.asarray(rotation, dtype=np.float64), np.asarray(nominal), optimize=False)
    if np.any(np.abs(r[..., 2, 0]) > np.sin(WRIST_LIMIT_RAD) + 1e-3):
        raise ValueError("rotation: pitch is a quarter turn away from the task's nominal orientation; angles undefined")
    pitch = np.arcsin(np.clip(-r[..., 2, 0], -1.0, 1.0))
    return np.stack([np.arctan2(r[..., 2, 1], r[..., 2, 2]), pitch, np.arctan2(r[..., 1, 0], r[..., 0, 0])], axis=-1)

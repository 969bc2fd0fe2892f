"""A human hand pose to the soft hand: MANO axis-angles -> anatomical angles -> 16 joints; wrist -> robot Euler angles.

Closed form (no energy function; paper, appendix C): the rotation of a joint, seen in the anatomical frame A_j of its
bone, as intrinsic XYZ Euler angles (twist, spread, bend). A_j has its x axis back along the bone, y up and z left, and
comes from the joints at zero pose alone. Twist and the little finger are dropped. Right hands only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from deft_env import grasp, paper
from deft_env.prior import mano

Array = NDArray[np.float64]

TWIST, SPREAD, BEND = 0, 1, 2
SIDE_PER_SPREAD: Final = 1.0
"""Sign between a human finger's spread and the robot finger's side joint; it lives here and nowhere else.

The mapping that the method follows is written side = -spread. That minus belongs to a hand whose side joints turn the
other way, so it is a fact about an axis, not about the retargeting: the axis of our side joints is (-1, 0, 0) of the
hand's base (``deft_env.sim.hand``, ``_finger``), which turns the straight finger (+z) towards +y, the index side.

Spread is positive towards the thumb's side of the hand. The side joints of our hand turn positive towards the index
side (``deft_env.sim.hand``), so the sign is +1: a hand that spreads stays a hand that spreads. For a hand whose side
joints turn positive away from it (the mapping that one of the paper's authors published has such a one) the sign is -1.
"""
R_MANO_HAND: Final = np.array([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
"""The one documented constant between MANO's wrist frame and the robot hand's base: maps hand axes into MANO's frame.

Hand z (along the straight fingers) is MANO's -x, hand x (where the fingers flex to) is MANO's -y, the palm's side, and
hand y (towards the index) is MANO's +z, the thumb's side.
"""
R_MANO_HAND.setflags(write=False)


def _source_joints() -> tuple[tuple[int, int, float], ...]:
    """For each of ``grasp.JOINT_NAMES``: MANO joint, which anatomical angle, sign. Mapped by name, never by
    position.
    """
    which = {
        "side": (0, SPREAD, SIDE_PER_SPREAD),
        "forward": (0, BEND, 1.0),
        "pip": (1, BEND, 1.0),
        "dip": (2, BEND, 1.0),
    }
    rows = []
    for name in grasp.JOINT_NAMES:
        finger, joint = name.rsplit("_", 1)
        offset, angle, sign = which[joint]
        rows.append((mano.FIRST_JOINT[finger] + offset, angle, sign))
    return tuple(rows)


_SOURCE: Final = _source_joints()


def absolute_pose(pose: ArrayLike, *, relative: bool, model: mano.HandModel = mano.INVENTED) -> Array:
    """MANO pose (..., 45) or (..., 15, 3) axis-angles -> (..., 15, 3) from the flat hand.

    Args:
        pose: axis-angles, rad. FrankMocap writes offsets from MANO's mean pose, HOI4D, HaMeR and WiLoR absolute ones.
        relative: whether ``pose`` is such an offset.
        model: the hand whose mean pose is added; only needed where ``relative``.

    Raises:
        ValueError: for a wrong shape or a value that is not finite, or a relative pose without a known mean pose.
    """
    out = np.asarray(pose, dtype=np.float64)
    if out.shape[-1:] == (paper.MANO_POSE_DIM,):
        out = out.reshape(*out.shape[:-1], mano.POSE_JOINTS, 3)
    if out.shape[-2:] != (mano.POSE_JOINTS, 3) or not np.isfinite(out).all():
        raise ValueError(f"pose: expected finite (..., 45) or (..., 15, 3) axis-angles, got shape {np.shape(pose)}")
    if not relative:
        return out
    if model.mean_pose is None:
        raise ValueError(
            "pose: it is relative to MANO's mean pose, which is not known here; give the hand model of your own "
            "MANO_RIGHT.pkl (deft_env.prior.mano.load_hand_model)"
        )
    return out + model.mean_pose


def anatomical_frames(joints_m: ArrayLike = mano.TEMPLATE_JOINTS_M) -> Array:
    """Frames A_j (15, 3, 3) of joints 1 … 15, columns back (twist), up (spread), left (bend), from (16, 3) joints.

    The reference for "up" is +y, and for the thumb the diagonal (1, 1, 1), as MANOTorch's axis layer has it.
    """
    joints = np.asarray(joints_m, dtype=np.float64)
    if joints.shape != (mano.JOINTS, 3):
        raise ValueError(f"joints_m: expected ({mano.JOINTS}, 3), got {joints.shape}")
    back = joints[list(mano.PARENTS[1:])] - joints[1:]
    back /= np.linalg.norm(back, axis=1, keepdims=True)
    up = np.tile([0.0, 1.0, 0.0], (mano.POSE_JOINTS, 1))
    thumb = mano.FIRST_JOINT["thumb"] - 1
    up[thumb : thumb + 3] = 1.0
    left = np.cross(back, up)
    left /= np.linalg.norm(left, axis=1, keepdims=True)
    return np.stack([back, np.cross(left, back), left], axis=-1)


_FRAMES: Final = anatomical_frames()


def anatomical_angles(pose: ArrayLike, frames: ArrayLike = _FRAMES) -> Array:
    """Absolute MANO pose (..., 15, 3) -> (..., 15, 3) twist, spread and bend, rad.

    On a right hand, bend is positive towards the palm and spread towards the thumb's side.
    """
    pose = np.asarray(pose, dtype=np.float64)
    a = np.asarray(frames, dtype=np.float64)
    rotations = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix().reshape(*pose.shape[:-1], 3, 3)
    local = np.swapaxes(a, -1, -2) @ rotations @ a
    # Intrinsic XYZ by hand: scipy warns at gimbal lock, and a wild prediction may come near it.
    spread = np.arcsin(np.clip(local[..., 0, 2], -1.0, 1.0))
    twist = np.arctan2(-local[..., 1, 2], local[..., 2, 2])
    bend = np.arctan2(-local[..., 0, 1], local[..., 0, 0])
    return np.stack([twist, spread, bend], axis=-1)


def pose_from_anatomical(angles: ArrayLike, frames: ArrayLike = _FRAMES) -> Array:
    """The inverse: (..., 15, 3) twist, spread, bend -> absolute MANO axis-angles (..., 15, 3)."""
    angles, a = np.asarray(angles, dtype=np.float64), np.asarray(frames, dtype=np.float64)
    local = Rotation.from_euler("XYZ", angles.reshape(-1, 3)).as_matrix().reshape(*angles.shape[:-1], 3, 3)
    rotations = a @ local @ np.swapaxes(a, -1, -2)
    return Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_rotvec().reshape(angles.shape)


def anatomical_to_joints(angles: ArrayLike, *, clamp: bool = True) -> Array:
    """(..., 15, 3) twist, spread, bend -> the soft hand's 16 joints (..., 16) in ``grasp.JOINT_NAMES`` order, rad.

    Side from the spread of the MCP, forward from its bend, PIP and DIP from theirs; of the thumb, CMC, MCP and IP.
    """
    angles = np.asarray(angles, dtype=np.float64)
    joints = np.stack([sign * angles[..., joint - 1, angle] for joint, angle, sign in _SOURCE], axis=-1)
    return np.clip(joints, grasp.LOW[grasp.FINGERS], grasp.HIGH[grasp.FINGERS]) if clamp else joints


def retarget_fingers(
    pose: ArrayLike, *, relative: bool = False, model: mano.HandModel = mano.INVENTED, clamp: bool = True
) -> Array:
    """MANO pose (..., 45) -> the soft hand's 16 joint angles (..., 16), clamped to its ranges (paper, appendix C)."""
    absolute = absolute_pose(pose, relative=relative, model=model)
    return anatomical_to_joints(anatomical_angles(absolute, anatomical_frames(model.joints_m)), clamp=clamp)


@dataclass(frozen=True, slots=True, eq=False)
class Wrist:
    """A retargeted wrist.

    Attributes:
        angles_rad: (3,) roll, pitch, yaw relative to the task's nominal orientation.
        turned_back_rad: by how much the rotation was turned back towards the nominal one to be representable; 0 mostly.
    """

    angles_rad: Array
    turned_back_rad: float


def retarget_wrist(axis_angle_cam: ArrayLike, T_base_cam: ArrayLike, nominal: ArrayLike) -> Wrist:
    """MANO's global orientation (3,), rad, camera frame -> the robot wrist's angles.

    R_base_hand = R_base_cam · Rodrigues(axis-angle) · ``R_MANO_HAND``. An orientation whose angles leave the wrist's
    limits is turned back towards the nominal one along the shortest way until they fit, and by how much is said.

    Args:
        axis_angle_cam: rotation from MANO's wrist frame to the camera (x right, y down, z forward).
        T_base_cam: (4, 4), maps camera points to the robot base.
        nominal: (3, 3) R_base_hand of the task's nominal orientation.

    Raises:
        ValueError: for wrong shapes or values that are not finite.
    """
    vector, T = np.asarray(axis_angle_cam, dtype=np.float64), np.asarray(T_base_cam, dtype=np.float64)
    nominal = np.asarray(nominal, dtype=np.float64)
    if vector.shape != (3,) or T.shape != (4, 4) or nominal.shape != (3, 3):
        raise ValueError(
            f"axis_angle_cam, T_base_cam, nominal: expected (3,), (4, 4) and (3, 3), got {vector.shape}, {T.shape}, "
            f"{nominal.shape}"
        )
    if not (np.isfinite(vector).all() and np.isfinite(T).all()):
        raise ValueError("axis_angle_cam, T_base_cam: every entry must be finite")
    wished = T[:3, :3] @ Rotation.from_rotvec(vector).as_matrix() @ R_MANO_HAND
    way = Rotation.from_matrix(wished @ nominal.T).as_rotvec()
    low, high = 0.0, 1.0
    angles = _fitting_angles(way, nominal)
    if angles is not None:
        return Wrist(angles, 0.0)
    best = np.zeros(3)
    for _ in range(
        24
    ):  # bisection: fractions of the way that fit form an interval from 0 for all but extreme rotations
        middle = 0.5 * (low + high)
        angles = _fitting_angles(middle * way, nominal)
        if angles is None:
            high = middle
        else:
            low, best = middle, angles
    return Wrist(best, float((1.0 - low) * np.linalg.norm(way)))


def _fitting_angles(way: Array, nominal: Array) -> Array | None:
    try:
        angles = grasp.rotation_to_wrist(Rotation.from_rotvec(way).as_matrix() @ nominal, nominal)
    except ValueError:
        return None
    return angles if np.all(np.abs(angles) <= grasp.WRIST_LIMIT_RAD) else None


def wrist_axis_angle(angles_rad: ArrayLike, T_base_cam: ArrayLike, nominal: ArrayLike) -> Array:
    """The inverse of ``retarget_wrist``: robot wrist angles (3,) -> MANO's global axis-angle in the camera frame
    (3,).
    """
    R = grasp.wrist_to_rotation(angles_rad, nominal)
    T = np.asarray(T_base_cam, dtype=np.float64)
    return Rotation.from_matrix(T[:3, :3].T @ R @ R_MANO_HAND.T).as_rotvec()

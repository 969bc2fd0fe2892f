"""A human right hand of capsules with MANO's joint tree, for synthetic videos; invented sizes, no MANO data.

And how it grasps: a rule of hand kinematics and contact alone. The part is taken between thumb and fingers across its
narrowest side, each finger closes until it touches, and the hand backs off where it would pass through something. No
grasp of a task or of a robot goes in, or a network trained on it would be a lookup table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from deft_env.prior import mano, retarget
from deft_env.prior.pinch import OPPOSED, human_pads_m

Array = NDArray[np.float64]

PREFIX: Final = "human/"
RADIUS_M: Final = {"index": 0.0085, "middle": 0.0088, "ring": 0.0082, "little": 0.0072, "thumb": 0.0105}
ROUND_M: Final = (-0.116, -0.060, 0.016)
"""Where the middle of a wide thing lies in the hand, MANO's frame (assumed)."""
OPENING: Final = 0.34
"""Closing of the fingers before they take a thin thing (assumed)."""
WIDE_M: Final = 0.045
"""Half width from which a thing counts as wide."""
FLEX: Final = {"mcp": 0.75, "pip": 1.0, "dip": 0.6}
"""How far a closing finger bends at each joint, per unit of closing (assumed synergy)."""
FLEX_LIMIT: Final = 1.45
THUMB_OPEN: Final = ((0.0, 0.95, 0.45), (0.0, 0.0, 0.05), (0.0, 0.0, 0.05))
THUMB_CLOSED: Final = ((0.0, -0.15, 0.65), (0.0, 0.0, 0.35), (0.0, 0.0, 0.30))
"""Twist, spread, bend of the thumb's three joints, opposed to the fingers, open and closed (assumed)."""
TOUCH_M: Final = 0.001
PRESS: Final = 0.10
"""Closing beyond first touch (of 1): soft fingertips give way (assumed)."""


@dataclass(frozen=True, slots=True, eq=False)
class Grasp:
    """A human grasp in the world.

    Attributes:
        rotation: (3, 3) MANO wrist -> world.
        position_m: (3,) of the wrist.
        pose: (45,) absolute MANO axis-angles.
        touching: fingers that touch the part.
    """

    rotation: Array
    position_m: Array
    pose: Array
    touching: tuple[str, ...]


def add_hand(spec: mujoco.MjSpec, rgba: Sequence[float]) -> None:
    """Adds the hand to a world, as a body that is placed and never simulated."""
    root = spec.worldbody.add_body(name=f"{PREFIX}wrist", gravcomp=1.0)
    root.add_freejoint(name=f"{PREFIX}wrist")
    capsule = mujoco.mjtGeom.mjGEOM_CAPSULE

    def bone(body: mujoco.MjsBody, end: Array, radius: float, name: str) -> None:
        geom = body.add_geom(
            name=name, type=capsule, fromto=[0, 0, 0, *end], size=[radius, 0, 0], rgba=list(rgba), mass=0.01
        )
        geom.contype = geom.conaffinity = 0

    joints = mano.TEMPLATE_JOINTS_M
    for finger in mano.FINGERS:
        first = mano.FIRST_JOINT[finger]
        bone(root, 0.92 * joints[first], 0.0125 if finger != "thumb" else 0.014, f"{PREFIX}palm_{finger}")
        body, radius = root, RADIUS_M[finger]
        for j in range(first, first + 3):
            start = joints[mano.PARENTS[j]]
            body = body.add_body(name=f"{PREFIX}{j}", pos=joints[j] - start, gravcomp=1.0)
            body.add_joint(name=f"{PREFIX}{j}", type=mujoco.mjtJoint.mjJNT_BALL)
            along = joints[j + 1] - joints[j] if j < first + 2 else joints[j] - joints[j - 1]
            length = np.linalg.norm(along) if j < first + 2 else mano.TIP_LENGTHS_M[finger]
            end = along / np.linalg.norm(along) * length
            bone(body, end, radius * (1.0 - 0.06 * (j - first)), f"{PREFIX}bone{j}")
            if j == first + 2:
                body.add_site(name=f"{PREFIX}tip_{finger}", pos=end, size=[0.002] * 3, group=5)
    forearm = np.array([0.16, 0.0, 0.0])
    bone(root, forearm, 0.026, f"{PREFIX}forearm")


class Hand:
    """The hand in a compiled world: places it, reads joints, measures distances.

    Attributes:
        qpos: where its joints lie in ``qpos``.
    """

    def __init__(self, model: Any, data: Any) -> None:
        """Finds the hand's joints and geoms in ``model``."""
        self.model, self.data = model, data
        self._root = int(model.joint(f"{PREFIX}wrist").qposadr[0])
        self._balls = [int(model.joint(f"{PREFIX}{j}").qposadr[0]) for j in range(1, mano.JOINTS)]
        self.qpos = np.concatenate([np.arange(a, a + n) for a, n in [(self._root, 7), *((b, 4) for b in self._balls)]])
        self.bones = {
            f: [model.geom(f"{PREFIX}bone{mano.FIRST_JOINT[f] + i}").id for i in range(3)] for f in mano.FINGERS
        }
        self.palm = [model.geom(f"{PREFIX}palm_{f}").id for f in mano.FINGERS]

    def place(self, rotation: Array, position_m: Array, pose: Array) -> None:
        """Sets the whole hand and computes where everything is."""
        q = self.data.qpos
        q[self._root : self._root + 3] = position_m
        q[self._root + 3 : self._root + 7] = Rotation.from_matrix(rotation).as_quat(scalar_first=True)
        quaternions = Rotation.from_rotvec(pose.reshape(15, 3)).as_quat(scalar_first=True)
        for address, quaternion in zip(self._balls, quaternions, strict=True):
            q[address : address + 4] = quaternion
        mujoco.mj_kinematics(self.model, self.data)

    def distance_m(self, mine: Sequence[int], others: Sequence[int], reach_m: float = 0.05) -> float:
        """Least distance between two sets of geoms, negative where they pass through each other."""
        best = reach_m
        for a in mine:
            for b in others:
                best = min(best, mujoco.mj_geomDistance(self.model, self.data, a, b, reach_m, None))
        return float(best)

    def keypoints_m(self) -> Array:
        """(21, 3) in the detectors' order: wrist, then thumb, index, middle, ring and little, root to tip; world."""
        rows = [self.data.body(f"{PREFIX}wrist").xpos]
        for finger in ("thumb", "index", "middle", "ring", "little"):
            first = mano.FIRST_JOINT[finger]
            rows += [self.data.body(f"{PREFIX}{j}").xpos for j in range(first, first + 3)]
            rows.append(self.data.site(f"{PREFIX}tip_{finger}").xpos)
        return np.array(rows)


def finger_angles(closing: dict[str, float]) -> Array:
    """Closing of each finger, 0 open … 1 shut, -> (15, 3) twist, spread, bend."""
    out = np.zeros((mano.POSE_JOINTS, 3))
    for finger, value in closing.items():
        first = mano.FIRST_JOINT[finger] - 1
        if finger == "thumb":
            out[first : first + 3] = (1 - value) * np.array(THUMB_OPEN) + value * np.array(THUMB_CLOSED)
        else:
            out[first : first + 3, retarget.BEND] = (
                FLEX_LIMIT * value * np.array([FLEX["mcp"], FLEX["pip"], FLEX["dip"]])
            )
    return out


def pose_of(closing: dict[str, float]) -> Array:
    """Closing of each finger -> absolute MANO pose (45,)."""
    return retarget.pose_from_anatomical(finger_angles(closing)).ravel()


THIN_M: Final = 0.020
"""Half width up to which a part is pinched between pads; wider ones are enclosed."""
TURN_RAD: Final = 0.12
"""How little a pinching wrist leaves the orientation that it reaches with (assumed)."""
_NATURAL: Final = np.array([0.80, 0.50, 0.80, 0.50, 0.30, 0.60, 0.30, 0.30])
_BOUNDS: Final = (
    np.array([-0.2, 0.0, -0.2, 0.0, -0.5, 0.0, 0.0, 0.0]),
    np.array([1.4, 1.6, 1.4, 1.6, 1.0, 1.2, 1.1, 1.1]),
)
"""Index MCP and PIP, middle MCP and PIP, thumb spread and bend of the CMC, bend of MCP and IP: at ease, and limits
(rad, assumed)."""


def _pinch_angles(values: Array) -> Array:
    out = np.zeros((mano.POSE_JOINTS, 3))
    for finger, (mcp, pip) in {
        "index": values[0:2], "middle": values[2:4], "ring": values[2:4] + 0.1, "little": values[2:4] + 0.2
    }.items():  # fmt: skip
        first = mano.FIRST_JOINT[finger] - 1
        out[first : first + 3, retarget.BEND] = mcp, pip, FLEX["dip"] * pip
    thumb = mano.FIRST_JOINT["thumb"] - 1
    out[thumb, retarget.SPREAD : retarget.BEND + 1] = values[4:6]
    out[thumb + 1 : thumb + 3, retarget.BEND] = values[6:8]
    return out


def pinch(rotation: Array, centre_m: Array, half_width_m: float, floor_m: float = 0.0) -> Grasp | None:
    """Pinches a thin part between the pads of thumb, index and middle finger, by inverse kinematics of the hand.

    Pads meet the part's two sides, across the hand's palm direction; posture stays near one at ease and near the wished
    ``rotation``, and no pinching fingertip goes below ``floor_m``. None where the pads cannot get within 5 mm.
    """
    from scipy.optimize import least_squares

    across, beside = -rotation[:, 1], rotation[:, 2]
    radii = np.array([RADIUS_M[f] for f in OPPOSED])
    sides = np.array([-1.0, -1.0, 1.0])[:, None] * across * (half_width_m + radii)[:, None]
    targets = centre_m + sides + np.array([0.011, -0.011, 0.0])[:, None] * beside

    def parts(x: Array) -> tuple[Array, Array, Array, Array]:
        turned = Rotation.from_rotvec(x[3:6]).as_matrix() @ rotation
        pose = retarget.pose_from_anatomical(_pinch_angles(x[6:]))
        return turned, centre_m + x[:3], pose, _pinch_angles(x[6:])

    def residual(x: Array) -> Array:
        turned, position, pose, _ = parts(x)
        pads, tips = (p @ turned.T + position for p in human_pads_m(pose))
        low = np.minimum(tips[:, 2] - radii - floor_m, 0.0)
        return np.concatenate(
            [((pads - targets) / 0.003).ravel(), low / 0.002, x[3:6] / TURN_RAD, (x[6:] - _NATURAL) / 0.45]
        )

    start = np.concatenate([-rotation @ np.array([-0.125, -0.05, 0.015]), np.zeros(3), _NATURAL])
    free = np.full(6, np.inf)
    found = least_squares(
        residual, start, bounds=(np.r_[-free, _BOUNDS[0]], np.r_[free, _BOUNDS[1]]), max_nfev=25, x_scale="jac"
    )
    turned, position, pose, _ = parts(found.x)
    if np.abs(residual(found.x)[:9]).max() * 0.003 > 0.005:
        return None
    return Grasp(turned, position, pose.ravel(), OPPOSED)


def orientation(heading_rad: float, tilt_rad: float, roll_rad: float = 0.0) -> Array:
    """MANO wrist -> world (3, 3) of a right hand that reaches along ``heading``, fingers ``tilt`` below the horizontal.

    With no tilt and roll the palm faces left and the thumb is up, as in a handshake; ``roll`` turns about the fingers.
    """
    fingers = np.array(
        [np.cos(tilt_rad) * np.cos(heading_rad), np.cos(tilt_rad) * np.sin(heading_rad), -np.sin(tilt_rad)]
    )
    palm = np.array([-np.sin(heading_rad), np.cos(heading_rad), 0.0])
    axes = np.column_stack([-fingers, -palm, np.cross(-fingers, -palm)])
    return Rotation.from_rotvec(roll_rad * fingers).as_matrix() @ axes


def close(
    hand: Hand,
    rotation: Array,
    centre_m: Array,
    half_width_m: float,
    part: Sequence[int],
    obstacles: Sequence[int],
    steps: int = 25,
) -> Grasp | None:
    """Encloses the wide geoms ``part`` around ``centre_m``; None where thumb and two fingers do not come to touch it.

    The fingers are opened as wide as the part needs. ``obstacles`` (the table, the rest of the object) and the part
    itself push the open hand back along its fingers and up, by 4 cm at most; then each finger closes
    until it touches.
    """
    wide = float(np.clip(half_width_m / WIDE_M, 0.0, 1.0))
    opening = dict.fromkeys(mano.FINGERS, OPENING * (1.0 - wide))
    opening["thumb"] = 0.0
    position = centre_m - rotation @ np.array(ROUND_M)
    back = rotation @ np.array([1.0, 0.0, 0.0])
    away = 0.004 * (0.6 * back + np.array([0.0, 0.0, 0.8])) / np.linalg.norm(0.6 * back + np.array([0.0, 0.0, 0.8]))
    solid = [*hand.palm, *(b for bones in hand.bones.values() for b in bones)]
    for _ in range(10):
        hand.place(rotation, position, pose_of(opening))
        if hand.distance_m(solid, [*part, *obstacles], 0.02) > 0.0:
            break
        position = position + away
    else:
        return None
    closing, touching = dict(opening), []
    for finger in mano.FINGERS:
        bones = hand.bones[finger]
        for value in np.linspace(opening[finger], 1.0, steps):
            closing[finger] = float(value)
            hand.place(rotation, position, pose_of(closing))
            if hand.distance_m(bones, part, 0.02) <= TOUCH_M:
                touching.append(finger)
                closing[finger] = min(float(value) + PRESS, 1.0)
                break
            if hand.distance_m(bones, obstacles, 0.02) <= 0.0:
                closing[finger] = max(float(value) - 0.05, 0.0)
                break
    if "thumb" not in touching or len(touching) < 3:
        return None
    pose = pose_of(closing)
    hand.place(rotation, position, pose)
    return Grasp(rotation, position, pose, tuple(touching))

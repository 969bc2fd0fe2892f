"""Pinches: a human hand that holds something between the pads of thumb and fingers -> the same opening of the robot's.

The closed form of ``retarget`` copies angles. That keeps the shape of a hand that goes round something, but not where
its pads meet: a human thumb stands beside the palm and is shorter than the fingers, so that fingers curl to meet it,
while the thumb of the claw stands opposite fingers of its own length. Copied angles of a pinch put the claw's
fingertips into its palm. So where the human pads are nearer to each other than ``WIDEST_M``, the claw's straight
fingers are closed to the same opening instead, and the grasp site is moved so that the middle between its pads comes
to the contact point (our choice; the paper copies angles alone). Where depth shows how wide the thing is at the
contact, that is the opening (``held_m``). Closed form, no search.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from deft_env import grasp
from deft_env.prior import mano
from deft_env.prior.lifting import WIDER
from deft_env.sim import robot

Array = NDArray[np.float64]

OPPOSED: Final = ("index", "middle", "thumb")
PAD: Final = 0.65
"""Where the pad's middle lies on the last phalanx, share of its length (assumed)."""
PAD_RADII_M: Final = {"index": 0.0085, "middle": 0.0088, "thumb": 0.0105}
"""Half thickness of human fingertips (assumed)."""
WIDEST_M: Final = 0.050
"""A wider opening between the pads is no pinch: the hand goes round the thing (our choice)."""
LOOSE_M: Final = 0.080
"""A hand that is opened wider than this between its pads holds nothing that a pinch could (our choice: a flat hand has
91 mm, one that reaches more)."""
SQUEEZE_RAD: Final = 0.22
"""How much further each finger is commanded than to touch: angles seen in a picture carry no force, and a soft hand
that is told to touch only touches (our choice)."""

DEEPER_M: Final = 0.010
"""How much deeper than at the middle of its pads the claw takes what a human holds there: stiff round fingertips hold a
thing that slides by millimetres only if it is not at their ends (our choice; looked for on train scenes that no
evaluation uses)."""


def human_pads_m(pose: ArrayLike, model: mano.HandModel = mano.INVENTED) -> tuple[Array, Array]:
    """Pads and tips (3, 3) each, m, of ``OPPOSED``, on the axes of the last phalanges, in MANO's wrist frame.

    Args:
        pose: (45,) or (15, 3) absolute axis-angles, rad.
        model: whose bones.
    """
    turns = Rotation.from_rotvec(np.asarray(pose, dtype=np.float64).reshape(-1, 3)).as_matrix()
    pads, tips = [], []
    for finger in OPPOSED:
        first = mano.FIRST_JOINT[finger]
        turn, joint = np.eye(3), model.joints_m[first]
        for j in range(first, first + 3):
            turn = turn @ turns[j - 1]
            if j < first + 2:
                bone = model.joints_m[j + 1] - model.joints_m[j]
                joint = joint + turn @ bone
        along = turn @ bone / np.linalg.norm(bone) * mano.TIP_LENGTHS_M[finger]
        pads.append(joint + PAD * along)
        tips.append(joint + along)
    return np.array(pads), np.array(tips)


def opening_m(pose: ArrayLike, model: mano.HandModel = mano.INVENTED) -> float:
    """Space between the thumb's pad and the pads of index and middle finger, m; negative where they overlap."""
    pads, _ = human_pads_m(pose, model)
    radii = 0.5 * (PAD_RADII_M["index"] + PAD_RADII_M["middle"]) + PAD_RADII_M["thumb"]
    return float(np.linalg.norm(pads[2] - pads[:2].mean(axis=0)) - radii)


@dataclass(frozen=True, slots=True, eq=False)
class Pinch:
    """The claw's pinch.

    Attributes:
        joints_rad: (16,) in ``grasp.JOINT_NAMES`` order.
        middle_m: (3,) from the grasp site to what is held, ``DEEPER_M`` behind the middle of the pads, hand frame.
        width_m: what lies between the pads.
    """

    joints_rad: Array
    middle_m: Array
    width_m: float


def robot_pinch(width_m: float, squeeze_rad: float = SQUEEZE_RAD) -> Pinch:
    """The claw's straight fingers ``width_m`` apart, and ``squeeze_rad`` further.

    The pads meet on the hand's axis: sin(forward) = (distance of the finger's root from it - half the opening) / length
    of the finger to its pad.
    """
    half = 0.5 * max(width_m, 0.0) + robot.FINGER_RADIUS_M
    out, reach = np.zeros(grasp.DIM - 6), []
    for finger, root_x, lengths in (
        ("finger", -robot.FINGER_ROW_X_M, robot.SEGMENT_LENGTHS_M),
        ("thumb", robot.THUMB_ROOT_M[0], robot.THUMB_SEGMENT_LENGTHS_M),
    ):
        length = lengths[0] + lengths[1] + PAD * lengths[2]
        angle = float(np.arcsin(np.clip((root_x - half) / length, -1.0, 1.0)))
        reach.append(length * np.cos(angle))
        for i, name in enumerate(grasp.JOINT_NAMES):
            if name.endswith("_forward") and (name.startswith("thumb") == (finger == "thumb")):
                out[i] = angle + squeeze_rad
    z = robot.FINGER_ROOT_Z_M + float(np.mean(reach)) - DEEPER_M - robot.GRASP_SITE_FROM_FLANGE_M[2]
    joints = np.clip(out, grasp.LOW[grasp.FINGERS], grasp.HIGH[grasp.FINGERS])
    return Pinch(joints, np.array([0.0, 0.5 * robot.THUMB_ROOT_M[1], z]), max(width_m, 0.0))


def held_m(opening_m: float, seen_m: float | None = None) -> float | None:
    """Width (m) of what a hand pinches; None where it pinches nothing (our choice).

    How wide a thing is a camera with depth sees better than a network guesses it from a hand. So what is visible at the
    contact counts where it can be the held part: at most ``WIDER`` times the opening of a hand that pinches, or, for a
    hand that is opened up to ``LOOSE_M``, narrow enough for a pinch: it goes round a thing whose pads do not reach it.

    Args:
        opening_m: between the human's pads, see ``opening_m``.
        seen_m: width of the visible surface at the contact (``surface.seen_width_m``); None where it is not known.
    """
    if opening_m < WIDEST_M:
        width = max(opening_m, 0.0)
        return seen_m if seen_m is not None and seen_m < WIDER * width else width
    return seen_m if seen_m is not None and opening_m < LOOSE_M and seen_m < WIDEST_M else None


def retarget_pinch(pose: ArrayLike, model: mano.HandModel = mano.INVENTED, seen_m: float | None = None) -> Pinch | None:
    """The claw's pinch for an absolute MANO pose (45,); None where the hand pinches nothing (see ``held_m``)."""
    width = held_m(opening_m(pose, model), seen_m)
    return None if width is None else robot_pinch(width)

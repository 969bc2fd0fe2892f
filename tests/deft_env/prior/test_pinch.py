"""Pinches keep their opening: the claw's pads come as near to each other as the human's, on the contact point."""

import numpy as np
import pytest

from deft_env import grasp
from deft_env.prior import mano, pinch, retarget
from deft_env.sim import robot


def pads_of_the_claw(joints):
    """Forward kinematics of index and thumb in the hand's xz plane, written out again from the sizes."""
    named = dict(zip(grasp.JOINT_NAMES, joints, strict=True))
    out = []
    for finger, x, sign, lengths in (
        ("index", robot.FINGER_ROW_X_M, 1.0, robot.SEGMENT_LENGTHS_M),
        ("thumb", robot.THUMB_ROOT_M[0], -1.0, robot.THUMB_SEGMENT_LENGTHS_M),
    ):
        angle, z = 0.0, robot.FINGER_ROOT_Z_M
        for joint, length in zip(("forward", "pip", "dip"), (*lengths[:2], pinch.PAD * lengths[2]), strict=True):
            angle += named[f"{finger}_{joint}"]
            x, z = x + sign * length * np.sin(angle), z + length * np.cos(angle)
        out.append((x, z))
    return np.array(out)


@pytest.mark.parametrize("width_m", [0.0, 0.015, 0.04])
def test_the_claw_opens_as_wide_as_asked_round_its_axis(width_m):
    found = pinch.robot_pinch(width_m, squeeze_rad=0.0)
    index, thumb = pads_of_the_claw(found.joints_rad)
    assert thumb[0] - index[0] == pytest.approx(width_m + 2 * robot.FINGER_RADIUS_M, abs=1e-9)
    assert 0.5 * (thumb[0] + index[0]) == pytest.approx(0.0, abs=1e-9)
    middle_z = 0.5 * (index[1] + thumb[1]) - pinch.DEEPER_M - robot.GRASP_SITE_FROM_FLANGE_M[2]
    assert found.middle_m[2] == pytest.approx(middle_z, abs=1e-9)


def test_a_squeeze_closes_further_and_stays_within_the_hand():
    still, tight = pinch.robot_pinch(0.02, 0.0), pinch.robot_pinch(0.02)
    closed = pads_of_the_claw(tight.joints_rad)
    touching = pads_of_the_claw(still.joints_rad)
    assert closed[1, 0] - closed[0, 0] < touching[1, 0] - touching[0, 0] - 0.02
    hard = pinch.robot_pinch(0.0, 9.0).joints_rad
    assert (hard <= grasp.HIGH[grasp.FINGERS]).all()
    assert np.allclose(grasp.motors_to_joints(grasp.joints_to_motors(tight.joints_rad)), tight.joints_rad)


def test_a_flat_hand_pinches_nothing_and_a_closed_one_does():
    assert pinch.retarget_pinch(np.zeros(45)) is None
    angles = np.zeros((15, 3))
    for finger in ("index", "middle"):
        first = mano.FIRST_JOINT[finger] - 1
        angles[first : first + 3, retarget.BEND] = 0.95, 1.4, 0.85
    thumb = mano.FIRST_JOINT["thumb"] - 1
    angles[thumb, retarget.SPREAD : retarget.BEND + 1] = 0.7, 0.85
    angles[thumb + 1 : thumb + 3, retarget.BEND] = 0.2
    pose = retarget.pose_from_anatomical(angles).ravel()
    assert pinch.opening_m(pose) < 0.03
    found = pinch.retarget_pinch(pose)
    assert found is not None
    assert found.width_m == pytest.approx(max(pinch.opening_m(pose), 0.0))


def test_opening_does_not_depend_on_the_little_finger():
    pose = np.zeros((15, 3))
    before = pinch.opening_m(pose)
    little = mano.FIRST_JOINT["little"] - 1
    pose[little : little + 3] = 0.5
    assert pinch.opening_m(pose) == before


def test_a_pinch_is_as_wide_as_the_visible_part_where_that_can_be_held():
    assert pinch.held_m(0.02) == 0.02
    assert pinch.held_m(-0.01) == 0.0
    assert pinch.held_m(0.02, 0.03) == 0.03
    assert pinch.held_m(0.02, 0.008) == 0.008
    assert pinch.held_m(0.02, 0.04) == 0.02  # a wall beside the knob, not the knob
    assert pinch.held_m(0.02, float("inf")) == 0.02


def test_a_hand_round_a_thin_part_pinches_it_and_one_round_a_wide_thing_does_not():
    assert pinch.held_m(0.06, 0.023) == 0.023
    assert pinch.held_m(0.06) is None
    assert pinch.held_m(0.06, 0.062) is None  # a cup
    assert pinch.held_m(0.09, 0.023) is None  # a flat hand holds nothing
    assert pinch.opening_m(np.zeros(45)) > pinch.LOOSE_M

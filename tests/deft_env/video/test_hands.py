"""The human hand of synthetic videos, and the pictures of both hands."""

import numpy as np
import pytest

pytest.importorskip("mujoco")

from deft_env.prior import mano, retarget
from deft_env.prior.pinch import OPPOSED, human_pads_m
from deft_env.video import human_hand


@pytest.mark.parametrize("heading", [-0.6, 0.0, 0.8])
@pytest.mark.parametrize("tilt", [0.2, 0.8, 1.3])
def test_orientation_reaches_ahead_and_down_with_the_palm_to_the_left(heading, tilt):
    R = human_hand.orientation(heading, tilt)
    assert np.linalg.det(R) == pytest.approx(1.0)
    ahead = R @ [-1.0, 0, 0]
    assert ahead[2] == pytest.approx(-np.sin(tilt))
    assert np.arctan2(ahead[1], ahead[0]) == pytest.approx(heading)
    assert np.allclose(R @ [0, -1.0, 0], [-np.sin(heading), np.cos(heading), 0])


@pytest.mark.parametrize("half_width", [0.006, 0.012, 0.018])
@pytest.mark.parametrize("heading", [0.0, 0.7])
def test_pinch_brings_the_pads_to_both_sides_of_the_part(half_width, heading):
    R = human_hand.orientation(heading, 1.2)
    centre = np.array([0.45, 0.05, 0.05])
    grasp = human_hand.pinch(R, centre, half_width)
    pads = human_pads_m(grasp.pose)[0] @ grasp.rotation.T + grasp.position_m
    palm = R @ [0, -1.0, 0]
    along = (pads - centre) @ palm
    radii = [human_hand.RADIUS_M[f] for f in OPPOSED]
    assert np.allclose(along, [-half_width - radii[0], -half_width - radii[1], half_width + radii[2]], atol=0.005)
    angles = retarget.anatomical_angles(grasp.pose.reshape(15, 3))
    for finger in ("index", "middle"):
        assert (angles[mano.FIRST_JOINT[finger] - 1 :][:2, retarget.BEND] > 0).all()


def test_a_thing_out_of_reach_is_not_pinched():
    assert human_hand.pinch(human_hand.orientation(0, 1.2), np.array([0.4, 0, 0.05]), 0.12) is None


def test_pictures_show_two_hands_that_change_with_the_pose():
    from deft_env.sim.render import RenderingUnavailableError
    from deft_env.video import hand_pictures

    try:
        page = hand_pictures.side_by_side(hand_pictures.example_poses())
    except RenderingUnavailableError as error:
        pytest.skip(str(error))
    rows = np.split(page.astype(float), 4)
    assert page.shape == (4 * 360, 480, 3)
    for half in (np.s_[:, :240], np.s_[:, 240:]):  # robot left, human right
        assert (rows[0][half].max(axis=2) > 60).sum() > 1500
        assert np.abs(rows[0][half] - rows[2][half]).mean() > 1.0

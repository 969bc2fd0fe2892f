"""Lifting a contact through depth and calibration."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from deft_env.episode import FRAME_SHAPE, Frame
from deft_env.prior import lifting

K = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])


def frame(depth):
    T = np.eye(4)
    T[:3, :3] = Rotation.from_euler("xyz", [2.5, 0.2, 1.0]).as_matrix()
    T[:3, 3] = 0.5, -0.1, 0.9
    return Frame(np.zeros((*FRAME_SHAPE, 3), np.uint8), depth.astype(np.float32), K, T)


@pytest.fixture
def flat():
    return np.full(FRAME_SHAPE, 0.7)


def test_lift_is_the_inverse_of_project(flat):
    f = frame(flat)
    for pixel in ([10.5, 20.5], [320.0, 240.0], [600.2, 470.9]):
        lifted = lifting.lift(f, pixel)
        assert np.allclose(lifting.project(lifted.point_base_m, f.K, f.T_base_cam), pixel, atol=1e-6)
        assert lifted.depth_m == pytest.approx(0.7)
        assert lifted.hole_px == 0


def test_hole_takes_the_nearest_valid_depth_and_says_so(flat):
    flat[200:221, 300:341] = 0
    flat[:200] = 0.5
    lifted = lifting.lift(frame(flat), [320.5, 203.5])
    assert lifted.depth_m == pytest.approx(0.5)
    assert lifted.hole_px == pytest.approx(4)


def test_median_survives_an_outlier_and_the_mask_keeps_the_table_out(flat):
    flat[100, 100] = 9.0
    assert lifting.depth_at(flat, [100.5, 100.5])[0] == pytest.approx(0.7)
    flat[:, 200:] = 1.2
    mask = np.zeros(FRAME_SHAPE, bool)
    mask[:, :200] = True
    assert lifting.depth_at(flat, [201.0, 50.0], mask)[0] == pytest.approx(0.7)
    assert lifting.depth_at(flat, [201.0, 50.0])[0] == pytest.approx(1.2)


def test_no_depth_is_a_clear_error():
    with pytest.raises(lifting.NoDepthError, match="no valid depth within"):
        lifting.lift(frame(np.zeros(FRAME_SHAPE)), [320, 240])
    with pytest.raises(ValueError, match="pixel"):
        lifting.lift(frame(np.ones(FRAME_SHAPE)), [-3, 240])


def test_average_contact_maps_the_crop_to_the_picture():
    assert np.allclose(lifting.average_contact([[0, 0], [1, 0.5]], [100, 200, 300, 240]), [200, 210])
    for points, box in ([np.zeros((0, 2)), [0, 0, 1, 1]], [[[0.1, np.nan]], [0, 0, 1, 1]], [[[0, 0]], [5, 5, 5, 9]]):
        with pytest.raises(ValueError, match=r"points|box"):
            lifting.average_contact(points, box)


def test_snap_moves_a_contact_beside_a_handle_onto_it(flat):
    flat[100:300, 310:316] = 0.6  # a handle, 6 px wide, 10 cm before the table
    assert np.allclose(lifting.snap(flat, [305.0, 200.5]), [313.0, 200.5], atol=1.0)
    assert np.allclose(lifting.snap(flat, [280.0, 200.5]), [280.0, 200.5])  # too far away
    mask = np.ones(FRAME_SHAPE, bool)
    mask[:, 308:] = False
    assert np.allclose(lifting.snap(flat, [305.0, 200.5], mask), [305.0, 200.5])  # not of the object


def test_snap_leaves_smooth_surfaces_and_flying_pixels_alone(flat):
    flat += np.linspace(0, 0.2, FRAME_SHAPE[0])[:, None]  # a slope
    assert np.allclose(lifting.snap(flat, [305.0, 200.5]), [305.0, 200.5])
    flat[198:200, 300:302] = 0.3
    assert np.allclose(lifting.snap(flat, [305.0, 200.5]), [305.0, 200.5])


def test_snap_stays_on_a_part_as_narrow_as_what_is_held(flat):
    """A knob behind the edge of a chest: the edge is nearer to the camera, but far wider than the hand's opening."""
    flat[:] = 0.9
    flat[200:400, :] = 0.6
    flat[190:200, 300:312] = 0.68
    knob = [306.0, 195.0]
    assert lifting.snap(flat, knob)[1] > 200  # nothing known: the front is taken
    mask = flat < 0.8
    assert np.allclose(lifting.snap(flat, knob, mask, held_px=14.0), knob)
    assert lifting.snap(flat, knob, mask, held_px=2.0)[1] > 200


def test_snap_takes_the_nearest_spot_of_a_leaning_handle(flat):
    """The end that leans towards the camera is nearer to it, but the hand is at the handle's middle."""
    rows = np.arange(150, 250)
    flat[150:250, 310:316] = (0.70 - 0.0006 * (rows - 150))[:, None]
    assert abs(lifting.snap(flat, [303.0, 200.5])[1] - 200.5) < 4.0


@pytest.fixture
def chest():
    """A frame from straight above: a flat top of 200 x 200 px at 0.5 m, the table at 0.7 m; its mask."""
    depth = np.full(FRAME_SHAPE, 0.7)
    depth[140:340, 220:420] = 0.5
    T = np.diag([1.0, -1.0, -1.0, 1.0])
    T[2, 3] = 0.7
    return Frame(np.zeros((*FRAME_SHAPE, 3), np.uint8), depth.astype(np.float32), K, T), depth < 0.6


def test_what_a_wide_top_hides_behind_its_edge_lies_halfway_to_what_is_past_it(chest):
    f, mask = chest
    hidden = lifting.lift(f, [300.0, 150.0], mask, held_px=20.0)
    assert hidden.point_base_m[2] == pytest.approx(0.1, abs=1e-6)
    assert lifting.lift(f, [300.0, 150.0], mask).point_base_m[2] == pytest.approx(0.2, abs=1e-6)


def test_nothing_is_hidden_far_from_an_edge_or_behind_a_thing_that_fits_the_hand(chest):
    f, mask = chest
    assert lifting.behind_edge(f, [300.0, 240.0], mask, 20.0) is None
    narrow = np.array(f.depth_m)
    narrow[:, :310] = narrow[:, 330:] = 0.7
    bar = Frame(f.rgb, narrow, f.K, f.T_base_cam)
    assert lifting.behind_edge(bar, [320.0, 150.0], narrow < 0.6, 20.0) is None
    low = Frame(f.rgb, np.where(mask, 0.68, 0.7).astype(np.float32), f.K, f.T_base_cam)
    assert lifting.behind_edge(low, [300.0, 150.0], mask, 20.0) is None

"""How wide a part is and which way it runs, from depth."""

import numpy as np
import pytest

from deft_env.episode import FRAME_SHAPE
from deft_env.prior import lifting, surface

K = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])


@pytest.fixture
def flat():
    return np.full(FRAME_SHAPE, 0.7)


def seen(depth, pixel, mask, reach_m=0.05):
    return surface.seen_width_m(depth, pixel, mask, 600.0, reach_m)


def test_seen_width_is_that_of_the_narrow_part_whichever_way_it_lies():
    depth = np.full(FRAME_SHAPE, 0.7)
    depth[100:300, 310:330] = 0.6
    for d in (depth, np.ascontiguousarray(depth[::-1])):
        assert seen(d, [320.0, 240.0], d < 0.65) == pytest.approx(20 * 0.6 / 600, rel=0.02)
    across = np.full(FRAME_SHAPE, 0.7)
    across[230:240, 200:500] = 0.6
    assert seen(across, [320.0, 235.0], across < 0.65) == pytest.approx(10 * 0.6 / 600, rel=0.02)
    assert seen(across, [320.0, 245.0], across < 0.65) == pytest.approx(10 * 0.6 / 600, rel=0.02)  # beside it


def test_seen_width_ends_at_a_step_of_depth_and_follows_a_slope(flat):
    """One mask, a handle before a plate: what is behind it does not count; a part that leans is one surface."""
    mask = np.ones(FRAME_SHAPE, bool)
    flat[:, 310:330] -= 0.03 + 0.0006 * np.arange(FRAME_SHAPE[0])[:, None]
    assert np.ptp(flat[200:280, 320]) > 3 * lifting.STEP_M
    here = flat[240, 320]
    assert seen(flat, [320.0, 240.0], mask) == pytest.approx(20 * here / 600, rel=0.02)
    assert seen(flat, [400.0, 240.0], mask) > 0.05


def test_seen_width_of_a_wide_surface_is_wider_than_the_reach_and_of_specks_unknown(flat):
    mask = np.ones(FRAME_SHAPE, bool)
    assert seen(flat, [320.0, 240.0], mask) == pytest.approx(np.sqrt(3) * 0.05, rel=0.02)
    mask[:] = False
    mask[240, 318:321] = True
    assert seen(flat, [320.0, 240.0], mask) == float("inf")
    with pytest.raises(lifting.NoDepthError):
        seen(0 * flat, [320.0, 240.0], mask)


def rod(tilt_rad, radius_m=0.007, length_m=0.12):
    """Depth and mask of a rod whose middle is 0.6 m from the camera, ``tilt_rad`` from the view; the table at 0.9 m."""
    axis = np.array([np.sin(tilt_rad), 0.0, np.cos(tilt_rad)])
    rows, columns = np.indices(FRAME_SHAPE) + 0.5
    rays = np.stack([(columns - 320) / 600, (rows - 240) / 600, np.ones(FRAME_SHAPE)], axis=-1)
    across = np.cross(rays, axis)
    a, b, c = (across**2).sum(-1), -2 * across @ np.cross([0, 0, 0.6], axis), 0.0
    c = (np.cross([0, 0, 0.6], axis) ** 2).sum() - radius_m**2
    root = b**2 - 4 * a * c
    hit = (-b - np.sqrt(np.maximum(root, 0.0))) / (2 * a)
    along = (rays * hit[..., None] - [0, 0, 0.6]) @ axis
    mask = (root > 0) & (np.abs(along) < 0.5 * length_m)
    return np.where(mask, hit, 0.9), mask


@pytest.mark.parametrize("tilt_rad", [0.3, 0.6, 1.2, np.pi / 2])
def test_slant_leads_from_the_surface_of_a_rod_to_its_axis(tilt_rad):
    depth, mask = rod(tilt_rad)
    found = surface.slant(depth, [320.0, 240.0], mask, K, 0.014)
    assert found == pytest.approx(np.sin(tilt_rad), abs=0.08)
    here = float(depth[240, 320])
    assert here + 0.007 / found == pytest.approx(0.6, abs=0.006)


def test_a_part_without_an_axis_is_taken_straight(flat):
    mask = np.ones(FRAME_SHAPE, bool)
    assert surface.slant(flat, [320.0, 240.0], mask, K, 0.014) == 1.0
    rows, columns = np.indices(FRAME_SHAPE) + 0.5
    away = np.hypot(rows - 240, columns - 320) * 0.6 / 600
    ball = np.where(away < 0.03, 0.6 - np.sqrt(np.maximum(0.03**2 - away**2, 0.0)), 0.9)
    assert surface.slant(ball, [320.0, 240.0], ball < 0.8, K, 0.05) == 1.0
    leaning = flat + (np.arange(FRAME_SHAPE[0])[:, None] - 240) * 0.7 / 600 * np.tan(0.7)  # a plane, not a rod
    assert surface.slant(leaning, [320.0, 240.0], mask, K, 0.03) == 1.0
    mask[:] = False
    mask[240, 318:321] = True
    assert surface.slant(flat - 0.01 * np.arange(FRAME_SHAPE[1]) % 0.3, [320.0, 240.0], mask, K, 0.014) == 1.0  # specks

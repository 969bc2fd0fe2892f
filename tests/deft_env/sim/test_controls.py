"""Grasp and demonstration to controls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from deft_env.demonstration import Demonstration
from deft_env.sim import controls, kinematics
from deft_env.sim.hand_calibration import motor_targets

Make = Callable[..., np.ndarray]


def demonstration(frame: str = "grasp-yaw", yaw_rad: float = 0.0) -> Demonstration:
    steps = np.zeros((40, 6))
    steps[:, 0], steps[:, 2], steps[:, 5] = 0.002, 0.001, 0.01
    return Demonstration("test", steps, frame=frame, yaw_rad=yaw_rad)


def turned(make_grasp: Make, yaw_rad: float) -> np.ndarray:
    out = make_grasp((0.42, 0.02, 0.10), 0.5, 0.5)
    out[5] = yaw_rad
    return out


@pytest.mark.parametrize("yaw", [-0.6, 0.0, 0.9])
def test_displacements_turn_with_the_executed_yaw(make_grasp: Make, yaw: float) -> None:
    grasps = turned(make_grasp, yaw)
    plan = controls.plan(grasps[None], controls.NOMINAL_TOOL_DOWN, demonstration())
    assert plan.ok.all(), plan.reason
    p, r = kinematics.grasp_site(plan.controls[0, -1, :6])
    turn = Rotation.from_euler("z", yaw)
    np.testing.assert_allclose(p, grasps[:3] + turn.apply([0.08, 0.0, 0.04]), atol=1e-4)
    want = Rotation.from_euler("z", 0.4 + yaw).as_matrix() @ controls.NOMINAL_TOOL_DOWN
    np.testing.assert_allclose(r, want, atol=1e-3)


def test_a_base_frame_demonstration_is_not_turned(make_grasp: Make) -> None:
    grasps = turned(make_grasp, 0.9)
    plan = controls.plan(grasps[None], controls.NOMINAL_TOOL_DOWN, demonstration("base"))
    p, _ = kinematics.grasp_site(plan.controls[0, -1, :6])
    np.testing.assert_allclose(p, grasps[:3] + np.array([0.08, 0.0, 0.04]), atol=1e-4)


def test_the_approach_is_diagonal_and_ends_at_the_grasp(make_grasp: Make) -> None:
    options = controls.ControlOptions()
    grasps = turned(make_grasp, 0.5)
    plan = controls.plan(grasps[None], controls.NOMINAL_TOOL_DOWN, demonstration(), options)
    p, r = kinematics.grasp_site(plan.controls[0, :, :6])
    first, last = plan.phases["approach"]
    offset = r[0].T @ (p[0] - grasps[:3])
    np.testing.assert_allclose(offset, [options.aside_m, 0.0, -options.back_m], atol=1e-4)
    np.testing.assert_allclose(p[last - 1], grasps[:3], atol=1e-4)
    np.testing.assert_allclose(p[last : plan.phases["hold"][1]], np.broadcast_to(grasps[:3], (40, 3)), atol=1e-4)
    line = (p[first:last] - p[0]) @ (grasps[:3] - p[0])
    assert (np.diff(line) > 0).all()


def test_fingers_are_open_before_and_as_commanded_after_closing(make_grasp: Make) -> None:
    plan = controls.plan(turned(make_grasp, 0.0)[None], controls.NOMINAL_TOOL_DOWN, demonstration())
    start, end = plan.phases["close"]
    fingers = plan.controls[0, :, 6:]
    commanded = motor_targets(np.tile([0.0, 0.5, 0.5], 4))
    np.testing.assert_allclose(fingers[end - 1 :], np.broadcast_to(commanded, (len(fingers) - end + 1, 12)), atol=1e-9)
    assert (fingers[:start, 1::3] < 0).all()
    assert fingers[0, 10] < fingers[0, 7]


def test_bits_do_not_depend_on_the_batch(make_grasp: Make) -> None:
    rng = np.random.default_rng(0)
    grasps = np.repeat(turned(make_grasp, 0.0)[None], 64, axis=0) + rng.normal(0, 0.05, (64, 22))
    whole = controls.plan(grasps, controls.NOMINAL_TOOL_DOWN, demonstration())
    for n in (1, 3, 16):
        part = controls.plan(grasps[7 : 7 + n], controls.NOMINAL_TOOL_DOWN, demonstration())
        assert np.array_equal(part.controls, whole.controls[7 : 7 + n])
        assert np.array_equal(part.hand_qpos, whole.hand_qpos[7 : 7 + n])


def test_an_unreachable_grasp_is_refused_with_a_reason(make_grasp: Make) -> None:
    far = turned(make_grasp, 0.0)
    far[:2] = 0.70, 0.40
    plan = controls.plan(np.stack([turned(make_grasp, 0.0), far]), controls.NOMINAL_TOOL_DOWN, demonstration())
    assert plan.ok.tolist() == [True, False]
    assert plan.reason[1].startswith("unreachable")
    assert np.isfinite(plan.controls).all()


def test_demonstrations_must_fit_the_grasps(make_grasp: Make) -> None:
    with pytest.raises(ValueError, match="demonstrations"):
        controls.plan(turned(make_grasp, 0.0)[None], controls.NOMINAL_TOOL_DOWN, [demonstration()] * 2)
    with pytest.raises(ValueError, match="approach_ticks"):
        controls.ControlOptions(approach_ticks=41)


def test_no_jump_anywhere_in_the_controls(make_grasp: Make, cup: Any) -> None:
    plan = controls.plan(turned(make_grasp, 0.3)[None], controls.NOMINAL_TOOL_DOWN, demonstration())
    assert np.abs(np.diff(plan.controls[0, :, :6], axis=0)).max() < 3.14 * 0.02 + 1e-6
    assert np.abs(np.diff(plan.controls[0, :, 6:], axis=0)).max() < 0.15

"""The hand: motors, tendons, and what it can grasp."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deft_env import grasp
from deft_env.sim import names
from deft_env.sim.hand_calibration import motor_targets

POSITION = "thing_position"


def settle(model: Any, motors: np.ndarray, steps: int = 400) -> np.ndarray:
    import mujoco

    data = mujoco.MjData(model)
    data.qpos[: model.nq] = model.qpos0
    data.qpos[:6] = (0.0, -0.3, -1.2, 0.0, 1.5, 0.0)
    for name, value in zip(names.ARM_ACTUATORS, data.qpos[:6], strict=True):
        data.actuator(name).ctrl = value
    for name, value in zip(names.HAND_ACTUATORS, motor_targets(motors), strict=True):
        data.actuator(name).ctrl = value
    mujoco.mj_step(model, data, nstep=steps)
    return np.array([data.joint(name).qpos[0] for name in names.HAND_JOINTS])


def test_motors_reach_the_pose_that_the_projection_promises(empty: Any) -> None:
    rng = np.random.default_rng(0)
    for _ in range(4):
        # Small bends: no finger meets the thumb.
        motors = rng.uniform(-0.1, 0.1, 12)
        motors[1::3], motors[2::3] = rng.uniform(-0.15, 0.1, 4), rng.uniform(0.1, 0.4, 4)
        np.testing.assert_allclose(settle(empty, motors), grasp.motors_to_joints(motors), atol=0.012)


def test_one_tendon_bends_pip_and_dip_in_the_stated_ratio(empty: Any) -> None:
    motors = np.zeros(12)
    motors[1::3] = -0.2
    motors[2] = 0.8
    joints = settle(empty, motors)
    assert joints[2] == pytest.approx(0.8, abs=0.015)
    assert joints[3] / joints[2] == pytest.approx(grasp.DIP_PER_PIP, abs=0.05)
    np.testing.assert_allclose(joints[6:8], 0.0, atol=0.02)


def test_each_motor_moves_its_own_joints_only(empty: Any) -> None:
    rest = np.zeros(12)
    rest[1::3] = -0.15
    before = settle(empty, rest)
    for k, name in enumerate(grasp.MOTOR_NAMES):
        motors = rest.copy()
        motors[k] += 0.2
        moved = np.abs(settle(empty, motors) - before) > 0.05
        finger, kind = name.rsplit("_", 1)
        want = {f"{finger}_pip", f"{finger}_dip"} if kind == "curl" else {name}
        assert {j for j, m in zip(grasp.JOINT_NAMES, moved, strict=True) if m} == want


def test_joint_ranges_are_those_of_the_grasp(empty: Any) -> None:
    ranges = np.array([empty.joint(name).range for name in names.HAND_JOINTS])
    np.testing.assert_allclose(ranges[:, 0], grasp.LOW[grasp.FINGERS])
    np.testing.assert_allclose(ranges[:, 1], grasp.HIGH[grasp.FINGERS])


@pytest.mark.parametrize("radius_m", [0.030, 0.040])
def test_a_cup_is_held_by_friction(
    make_cup: Callable[..., Any], run: Callable[..., Any], make_grasp: Callable[..., Any], radius_m: float
) -> None:
    pose = make_grasp((0.45, 0.0, 0.085), 0.4, 0.6)
    _, rough = run(make_cup(radius_m=radius_m, friction=0.6), pose[None])
    _, slippery = run(make_cup(radius_m=radius_m, friction=0.01), pose[None])
    assert rough.sensors[POSITION][0, -1, 2] > 0.15
    assert slippery.sensors[POSITION][0, -1, 2] < 0.08


def test_a_thin_handle_is_pinched(
    make_handle: Callable[..., Any], run: Callable[..., Any], make_grasp: Callable[..., Any]
) -> None:
    _, played = run(make_handle(), make_grasp((0.452, 0.0, 0.06), 0.45, 0.3)[None])
    assert played.sensors[POSITION][0, -1, 2] > 0.15

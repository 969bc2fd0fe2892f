"""The empty world: options, names, import weight, the arm's figures."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import mujoco
import numpy as np
import pytest

from deft_env.sim import names, robot, world


def test_every_name_is_in_the_model(empty: Any) -> None:
    for name in (*names.ARM_JOINTS, *names.HAND_JOINTS):
        assert empty.joint(name).name == name
    for name in (*names.ARM_ACTUATORS, *names.HAND_ACTUATORS):
        assert empty.actuator(name).name == name
    for name in (*names.ARM_POSITION_SENSORS, *names.HAND_POSITION_SENSORS, *names.STRIKE_SENSORS):
        assert empty.sensor(name).name == name
    for name in (names.GRASP_SITE, names.FLANGE_SITE):
        assert empty.site(name).name == name
    assert [empty.actuator(i).name for i in range(empty.nu)] == [*names.ARM_ACTUATORS, *names.HAND_ACTUATORS]


def test_the_arm_weighs_what_the_description_says(empty: Any) -> None:
    moving = sum(float(empty.body(name).mass[0]) for name in names.ARM_LINKS)
    assert moving == pytest.approx(9.35, abs=0.01)
    for name, link in zip(names.ARM_JOINTS, robot.ARM, strict=True):
        np.testing.assert_allclose(empty.joint(name).range, link.range_rad)


def test_the_grasp_site_has_the_one_documented_offset(empty: Any) -> None:
    np.testing.assert_allclose(empty.site(names.GRASP_SITE).pos, robot.GRASP_SITE_FROM_FLANGE_M)
    np.testing.assert_allclose(empty.body(names.HAND_BASE).pos, 0.0)


def test_options_refuse_what_does_not_fit() -> None:
    assert world.PhysicsOptions().substeps == 5
    with pytest.raises(ValueError, match="timestep_s"):
        world.PhysicsOptions(timestep_s=0.003)
    with pytest.raises(ValueError, match="integrator"):
        world.PhysicsOptions(integrator="euler")
    with pytest.raises(ValueError, match=r"jacobian.*auto, dense, sparse.*'banded'"):
        world.PhysicsOptions(jacobian="banded")


def test_matrices_of_the_solver_are_those_of_the_options() -> None:
    for name, kind in (("auto", "AUTO"), ("dense", "DENSE"), ("sparse", "SPARSE")):
        option = world.base_spec(world.PhysicsOptions(jacobian=name)).compile().opt
        assert option.jacobian == getattr(mujoco.mjtJacobian, f"mjJAC_{kind}")


def test_ego_camera_is_that_of_the_model(empty: Any) -> None:
    import mujoco

    data = mujoco.MjData(empty)
    mujoco.mj_forward(empty, data)
    pose = world.ego_pose()
    camera = data.camera(names.EGO_CAMERA)
    np.testing.assert_allclose(camera.xpos, pose[:3, 3], atol=1e-12)
    np.testing.assert_allclose(camera.xmat.reshape(3, 3) @ np.diag([1, -1, -1]), pose[:3, :3], atol=1e-9)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1.0)


def test_numbers_and_kinematics_need_no_simulator() -> None:
    code = (
        "import sys; from deft_env.sim import names, controls, kinematics, render;"
        "assert 'mujoco' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

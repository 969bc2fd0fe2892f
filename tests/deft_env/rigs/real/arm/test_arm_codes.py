"""The arm's return codes against a fake SDK, its configuration, its kinematics: no vendor code needed."""

from __future__ import annotations

import dataclasses
import math
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from deft_env.rigs.real.arm import SERVO, Arm, ArmConfig, guard, vendor, xarm_kinematics
from deft_env.rigs.real.arm.errors import (
    API_CODES,
    CONTROLLER_ERRORS,
    ArmCollision,
    ArmError,
    ArmFault,
    ArmNotReady,
    ArmStopped,
    ArmTimeout,
    api_error,
)
from deft_env.sim import kinematics as sim_kinematics

HOME = np.array([0.0, -0.3, -1.2, 0.0, 1.5, 0.0])


@pytest.fixture(autouse=True)
def _leave_nothing() -> Iterator[None]:
    yield
    guard.close_all()


# --- kinematics -------------------------------------------------------------------------------------------------------
def test_forward_kinematics_agree_with_the_simulators_which_come_from_another_source() -> None:
    rng = np.random.default_rng(0)
    for q in rng.uniform(xarm_kinematics.LOW_RAD, xarm_kinematics.HIGH_RAD, (50, 6)):
        position, rotation = sim_kinematics.forward(q)
        np.testing.assert_allclose(xarm_kinematics.forward(q)[:3, 3], position, atol=2e-5)
        np.testing.assert_allclose(xarm_kinematics.forward(q)[:3, :3], rotation, atol=1e-6)


def test_documented_home_and_inverse_kinematics_round_trip() -> None:
    np.testing.assert_allclose(xarm_kinematics.forward(np.zeros(6))[:3, 3], (0.207, 0.0, 0.112), atol=1e-6)
    rng = np.random.default_rng(1)
    low, high = np.maximum(xarm_kinematics.LOW_RAD, -3), np.minimum(xarm_kinematics.HIGH_RAD, 3)
    found = 0
    for q in rng.uniform(low, high, (40, 6)):
        T = xarm_kinematics.forward(q)
        back = xarm_kinematics.inverse(T, np.zeros(6))
        if back is not None:
            found += 1
            np.testing.assert_allclose(xarm_kinematics.forward(back), T, atol=1e-4)
        rpy = xarm_kinematics.rpy_from_rotation(T[:3, :3])
        np.testing.assert_allclose(xarm_kinematics.pose_from_rpy(T[:3, 3], rpy), T, atol=1e-9)
    assert found >= 37
    far = np.eye(4)
    far[0, 3] = 2.0
    assert xarm_kinematics.inverse(far, HOME) is None


# --- codes ------------------------------------------------------------------------------------------------------------
@dataclasses.dataclass
class FakeSdk:
    """Answers every call with success, but ``method`` with ``code``."""

    method: str = ""
    code: int = 0
    error: int = 0
    state: int = 2
    connected: bool = True
    calls: list[str] = dataclasses.field(default_factory=list)
    count, axis, device_type, version, mode, is_simulation_robot = 1, 6, 6, "v2.5.5", 0, False
    collision_sensitivity, tcp_offset = 3, (0.0,) * 6
    values = {  # noqa: RUF012
        "get_joint_states": [[*HOME, 0.0], [0.0] * 7, [0.0] * 7],
        "get_position": [400.0, 0.0, 300.0, math.pi, 0.0, 0.0],
        "get_inverse_kinematics": [*HOME, 0.0],
        "get_reduced_states": [0, [750, 100, 500, -500, 800, 0], 0, 0, [], 1, 0],
    }

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            code = self.code if name == self.method else 0
            if name == "set_state" and args[0] == 4:
                self.state = 4
            if name == "set_mode":
                self.mode = args[0]
                self.state = 2
            if name == "get_state":
                return code, self.state
            if name == "get_err_warn_code" and name not in self.values:
                return code, [self.error, 0]
            return (code, self.values[name]) if name in self.values else code

        return call


def fake_arm(sdk: FakeSdk, **changes: Any) -> Arm:
    return Arm(ArmConfig(ip="127.0.0.1", **changes), create=lambda _c: sdk, sleep=lambda _s: None)


def drive(arm: Arm, method: str) -> None:
    """A call of the driver that uses the SDK's ``method``."""
    if method in ("set_servo_angle_j", "set_servo_cartesian"):
        arm.enable(SERVO)
        if method == "set_servo_angle_j":
            arm.servo_joints(HOME[None], 0.01)
        else:
            arm.servo_poses(arm.pose()[None], 0.01)
    elif method == "set_servo_angle":
        arm.enable()
        arm.move_joints(HOME)
    elif method == "set_position":
        arm.enable()
        arm.move_line(arm.pose())
    elif method == "get_inverse_kinematics":
        arm.inverse_kinematics(arm.pose())
    elif method == "get_joint_states":
        arm.joints()
    elif method == "get_position":
        arm.pose()
    elif method in ("get_state", "get_err_warn_code"):
        arm.status()
    else:
        arm.enable()


METHODS = (
    "set_servo_angle_j", "set_servo_cartesian", "set_servo_angle", "set_position", "get_inverse_kinematics",
    "get_joint_states", "get_position", "get_state", "get_err_warn_code", "motion_enable", "set_mode", "set_state",
    "set_tcp_offset", "set_tcp_load", "set_collision_sensitivity", "set_reduced_tcp_boundary", "set_fence_mode",
    "get_reduced_states",
)  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_every_method_works_with_code_zero_and_none_ignores_another(method: str) -> None:
    drive(fake_arm(FakeSdk()).connect(), method)
    for code in (3, 12, 77):
        sdk = FakeSdk()
        arm = fake_arm(sdk).connect()
        sdk.method, sdk.code = method, code
        with pytest.raises(ArmError) as caught:
            drive(arm, method)
        assert caught.value.api_code == code
        assert type(caught.value) is API_CODES.get(code, (ArmFault,))[0]


@pytest.mark.parametrize("code", sorted(API_CODES))
def test_every_return_code_has_its_type_and_words(code: int) -> None:
    sdk = FakeSdk()
    arm = fake_arm(sdk).connect()
    arm.enable(SERVO)
    sdk.method, sdk.code = "set_servo_angle_j", code
    with pytest.raises(ArmError) as caught:
        arm.servo_joints(np.stack([HOME, HOME]), 0.01)
    kind, what, do = API_CODES[code]
    assert type(caught.value) is kind
    assert what in str(caught.value)
    assert do in str(caught.value)
    assert f"API code {code}" in str(caught.value)
    assert caught.value.step == 0


def test_the_controllers_error_is_the_cause_where_there_is_one() -> None:
    for code in (1, 9, -9, 100):
        error = api_error("move", code, error=31)
        assert type(error) is ArmCollision
        assert (error.api_code, error.controller_code, error.action_caused) == (code, 31, True)
    assert type(api_error("move", 3, error=31)) is ArmTimeout, "without an answer the error would be an old one"
    assert type(api_error("move", 9, state=4)) is ArmStopped
    assert type(api_error("move", 1, error=99)) is ArmFault
    assert "14" in str(api_error("ik", 2, warning=14))
    guilty = {c for c, (kind, _, _) in CONTROLLER_ERRORS.items() if kind.action_caused}
    assert guilty == {21, 22, 23, 24, 25, 31, 32, 35, 38, 40, 60}


def test_masked_failures_are_seen_by_looking_again() -> None:
    """The SDK's settings report success where the controller refused: the state tells."""
    sdk = FakeSdk()
    arm = fake_arm(sdk).connect()
    sdk.error = 31
    with pytest.raises(ArmCollision):
        arm.enable()
    sdk.error = 0
    sdk.values = {**FakeSdk.values, "get_reduced_states": [0, [999, 100, 500, -500, 800, 0], 0, 0, [], 1, 0]}
    with pytest.raises(ArmFault, match="safety boundary"):
        arm.enable()


def test_an_error_that_comes_while_enabling_is_not_overlooked() -> None:
    sdk = FakeSdk()
    arm = fake_arm(sdk).connect()

    class Late(list[int]):
        """(0, [error, warning]) whose error appears once the arm was told to run."""

        def __iter__(self) -> Iterator[int]:
            return iter((31 if "set_state" in sdk.calls else 0, 0))

    sdk.values = {**FakeSdk.values, "get_err_warn_code": Late()}
    with pytest.raises(ArmCollision):
        arm.enable()


def test_an_sdk_that_never_returns_from_a_motion_is_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without reports the SDK waits for ever before it sends a motion, whatever its timeout."""
    monkeypatch.setattr("deft_env.rigs.real.arm.driver._WATCHDOG_S", 0.05)
    gone = threading.Event()

    class Stuck(FakeSdk):
        def disconnect(self) -> None:
            gone.set()

        def set_servo_angle(self, **_: Any) -> int:
            return -1 if gone.wait(10.0) else 0

    arm = fake_arm(Stuck(), motion_timeout_s=0.05).connect()
    arm.enable()
    start = time.monotonic()
    with pytest.raises(ArmTimeout, match="did not come back"):
        arm.move_joints(HOME)
    assert time.monotonic() - start < 5.0


@pytest.mark.parametrize("bad", [[float("nan")] * 7, [1.0], "xArm is not connect", None, [float("inf")] * 7])
def test_answers_that_are_no_numbers_are_faults(bad: Any) -> None:
    sdk = FakeSdk()
    sdk.values = {**FakeSdk.values, "get_joint_states": [bad] * 3, "get_position": bad}
    arm = fake_arm(sdk).connect()
    for ask in (arm.joints, arm.pose):
        with pytest.raises(ArmFault):
            ask()


def test_a_wrong_robot_or_a_simulated_one_is_refused() -> None:
    for changes in ({"axis": 7}, {"device_type": 9}):
        sdk = FakeSdk()
        for name, value in changes.items():
            setattr(sdk, name, value)
        with pytest.raises(ArmFault, match="xArm6"):
            fake_arm(sdk).connect()
        assert "disconnect" in sdk.calls
    sdk = FakeSdk()
    sdk.is_simulation_robot = True
    with pytest.raises(ArmNotReady, match="simulation"):
        fake_arm(sdk).connect()
    fake_arm(sdk, allow_simulation=True).connect().close()


# --- configuration ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ip", "/dev/ttyUSB0"), ("ip", "arm.local"), ("control_port", 0), ("collision_sensitivity", 0),
        ("boundary_low_m", (1.0, 0.0, 0.0)), ("tool_offset_m", (0.0, float("nan"), 0.0)), ("joint_speed_rad_s", 9.0),
        ("servo_step_rad", 0.0), ("tool_mass_kg", -1.0),
    ],
)  # fmt: skip
def test_wrong_configuration_is_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        dataclasses.replace(ArmConfig(ip="10.0.0.2"), **{name: value})


def test_units_change_in_one_place_and_boundaries_round_inwards() -> None:
    assert vendor.boundary_to_sdk((0.1004, -0.5, 0.0), (0.7006, 0.5, 0.8)) == [700, 101, 500, -500, 800, 0]
    T = xarm_kinematics.pose_from_rpy((0.4, -0.1, 0.3), (3.0, 0.2, -0.4))
    sdk = vendor.pose_to_sdk(T)
    np.testing.assert_allclose(sdk, [400, -100, 300, 3.0, 0.2, -0.4])
    np.testing.assert_allclose(vendor.pose_from_sdk(np.array(sdk)), T, atol=1e-12)


def test_without_the_sdk_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xarm.wrapper", None)
    with pytest.raises(ImportError, match=r"deft-hand\[hardware\]"):
        vendor.create_sdk(ArmConfig(ip="127.0.0.1"))

"""The arm's driver, through the vendor's real SDK, against the control box's stand-in; codes against a fake SDK."""

from __future__ import annotations

import dataclasses
import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from deft_env.rigs.real.arm import POSITION, SERVO, Arm, ArmConfig, guard, xarm_kinematics
from deft_env.rigs.real.arm.errors import (
    CONTROLLER_ERRORS,
    ArmCollision,
    ArmDisconnected,
    ArmError,
    ArmFault,
    ArmLimit,
    ArmNotReady,
    ArmStopped,
    ArmTimeout,
)
from deft_mocks.xarm import Fault, KinematicWorld, wire
from deft_mocks.xarm_box import XArmBox

try:
    import xarm  # noqa: F401

    HAVE_SDK = True
except ImportError:
    HAVE_SDK = False
needs_sdk = pytest.mark.skipif(not HAVE_SDK, reason="xarm-python-sdk is not installed (extra 'hardware')")
HOME = np.array([0.0, -0.3, -1.2, 0.0, 1.5, 0.0])


def turned(by_rad: float) -> np.ndarray:
    """The home posture with the base turned."""
    return HOME + by_rad * np.eye(6)[0]


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now, self.naps = 0.0, 0

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.naps += 1

    def monotonic(self) -> float:
        return self.now


def config(box: XArmBox, **changes: Any) -> ArmConfig:
    base = ArmConfig(
        ip=box.host,
        control_port=box.control_port,
        tool_offset_m=(0.0, 0.0, 0.11),
        tool_mass_kg=0.8,
        tool_com_m=(0.0, 0.0, 0.06),
        boundary_low_m=(0.1, -0.5, 0.05),
        reply_timeout_s=0.3,
    )
    return dataclasses.replace(base, **changes)


@pytest.fixture(autouse=True)
def _leave_nothing() -> Iterator[None]:
    """Closes what a test left open; the driver's ``control_port`` changes a constant of the SDK."""
    if not HAVE_SDK:
        yield
        guard.close_all()
        return
    from xarm.core.config.x_config import XCONF

    before = XCONF.SocketConf.TCP_CONTROL_PORT
    yield
    XCONF.SocketConf.TCP_CONTROL_PORT = before
    guard.close_all()


@pytest.fixture
def box() -> Iterator[XArmBox]:
    with XArmBox(time_scale=math.inf) as box:
        yield box


@pytest.fixture
def arm(box: XArmBox) -> Iterator[Arm]:
    clock = Clock()
    with Arm(config(box), sleep=clock.sleep, monotonic=clock.monotonic) as arm:
        yield arm


# --- through the real SDK ---------------------------------------------------------------------------------------------
@needs_sdk
def test_enabling_applies_the_whole_configuration(box: XArmBox, arm: Arm) -> None:
    arm.enable()
    c = box.controller
    np.testing.assert_allclose(c.tcp_offset_wire, (0, 0, 110, 0, 0, 0))
    np.testing.assert_allclose(c.load, (0.8, 0, 0, 60), rtol=1e-6)
    assert (c.collision_sensitivity, c.fence, c.mode) == (3, True, POSITION)
    assert c.boundary_mm == (750, 100, 500, -500, 800, 50)
    expected = xarm_kinematics.forward(HOME) @ arm.config.T_flange_tcp
    np.testing.assert_allclose(arm.pose(), expected, atol=1e-6)
    state = arm.joint_state()
    np.testing.assert_allclose(state.position_rad, HOME, atol=1e-6)
    assert state.velocity_rad_s.shape == state.effort.shape == (6,)


@needs_sdk
def test_motions_arrive_in_metres_and_radians(box: XArmBox, arm: Arm) -> None:
    with pytest.raises(ArmNotReady, match="enable"):
        arm.move_joints(HOME)
    arm.enable()
    arm.move_joints(HOME + 0.1)
    np.testing.assert_allclose(box.joints(), HOME + 0.1, atol=1e-6)
    T = arm.pose()
    T[:3, 3] += (0.03, -0.05, 0.04)
    arm.move_line(T)
    np.testing.assert_allclose(arm.pose(), T, atol=1e-5)
    T[:3, 3] += (0.02, 0.05, -0.08)
    arm.move_pose(T)
    np.testing.assert_allclose(arm.pose(), T, atol=1e-5)
    for wrong in (np.zeros(5), np.full(6, np.nan)):
        with pytest.raises(ValueError):
            arm.move_joints(wrong)
    with pytest.raises(ValueError, match="rotation"):
        arm.move_line(np.diag([2.0, 1.0, 1.0, 1.0]))


@needs_sdk
def test_streams_follow_the_path_at_their_period(box: XArmBox) -> None:
    clock = Clock()
    with Arm(config(box), sleep=clock.sleep, monotonic=clock.monotonic) as arm:
        arm.enable(SERVO)
        path = HOME + np.linspace(0.0, 1.0, 50)[:, None] * np.array([0.4, 0.1, -0.1, 0.0, 0.1, -0.3])
        seen: list[float] = []
        assert arm.servo_joints(path, 0.02, on_step=lambda _i: seen.append(arm.joints()[0])) == 0
        np.testing.assert_allclose(seen, path[:, 0], atol=1e-5)
        assert clock.now == pytest.approx(50 * 0.02)
        T = arm.pose()
        line = np.repeat(T[None], 20, axis=0)
        line[:, 2, 3] += np.linspace(0.0, 0.1, 20)
        arm.servo_poses(line, 0.02)
        np.testing.assert_allclose(arm.pose(), line[-1], atol=1e-4)


@needs_sdk
def test_nothing_forbidden_is_ever_sent(box: XArmBox, arm: Arm) -> None:
    arm.enable(SERVO)
    path = np.repeat(HOME[None], 10, axis=0)
    jump, limit, low = path.copy(), path.copy(), path.copy()
    jump[6:, 0] += 0.1
    limit[7:, 1] = -3.0
    low[5:] = xarm_kinematics.inverse(
        xarm_kinematics.pose_from_rpy((0.35, 0.0, 0.12), (math.pi, 0.0, 0.0)), HOME
    )  # the tool, 0.11 m further down, would be under the boundary
    for bad, step in ((jump, 6), (limit, 7), (low, 5)):
        with pytest.raises(ArmLimit) as caught:
            arm.servo_joints(bad, 0.02)
        assert caught.value.step == step
        assert caught.value.action_caused
    with pytest.raises(ArmLimit, match="jumps"):
        arm.servo_joints(path + 0.2, 0.02)
    T = arm.pose()
    T[2, 3] = 0.01
    with pytest.raises(ArmLimit):
        arm.servo_poses(T[None], 0.02)
    arm.enable(POSITION)
    for move in (arm.move_line, arm.move_pose):
        with pytest.raises(ArmLimit):
            move(T)
    with pytest.raises(ArmLimit):
        arm.move_joints([0.0, -3.0, 0, 0, 0, 0])
    np.testing.assert_array_equal(box.joints(), HOME)
    assert arm.status().error == 0


@needs_sdk
def test_unreachable_pose_is_a_limit_and_leaves_no_warning(box: XArmBox, arm: Arm) -> None:
    arm.enable()
    T = arm.pose()
    T[:3, 3] = (0.74, 0.49, 0.79)
    with pytest.raises(ArmLimit, match="out of reach"):
        arm.move_pose(T)
    assert (arm.status().error, arm.status().warning) == (0, 0)


@needs_sdk
def test_every_controller_error_through_the_wire(box: XArmBox, arm: Arm) -> None:
    for code, (kind, what, _) in CONTROLLER_ERRORS.items():
        box.fail(code)
        with pytest.raises(ArmError, match=str(code)) as caught:
            arm.enable()
        assert type(caught.value) is kind
        assert what in str(caught.value)
        box.controller.clear_error()


# --- faults -----------------------------------------------------------------------------------------------------------
@needs_sdk
@pytest.mark.parametrize("report_on_change", [True, False])
def test_collision_in_a_queued_motion_and_recovery(report_on_change: bool) -> None:
    """Also with nothing but the 5 Hz reports of a real box."""
    with XArmBox(time_scale=math.inf, report_on_change=report_on_change) as box, Arm(config(box)) as arm:
        arm.enable()
        box.inject(Fault("collision", step=30))
        with pytest.raises(ArmCollision) as caught:
            arm.move_joints(turned(0.5))
        assert caught.value.action_caused
        where = box.joints()
        assert 0.0 < where[0] < 0.4
        for refused in (arm.enable, lambda: arm.move_joints(HOME)):
            with pytest.raises(ArmCollision):
                refused()
        np.testing.assert_array_equal(box.joints(), where)
        arm.recover()
        arm.move_joints(HOME)
        np.testing.assert_allclose(box.joints(), HOME, atol=1e-6)


@needs_sdk
def test_collision_with_the_table_in_a_stream_names_the_waypoint() -> None:
    world = KinematicWorld(HOME, table_z_m=0.30, probe_m=0.11)
    clock = Clock()
    with XArmBox(world=world, time_scale=math.inf) as box, Arm(config(box), sleep=clock.sleep) as arm:
        arm.enable(SERVO)
        line = np.repeat(arm.pose()[None], 30, axis=0)
        line[:, 2, 3] -= np.linspace(0.0, 0.2, 30)
        with pytest.raises(ArmCollision) as caught:
            arm.servo_poses(line, 0.001)
        assert caught.value.step is not None
        assert 0.29 < line[caught.value.step, 2, 3] < 0.31
        arm.recover(SERVO)
        back = np.repeat(arm.pose()[None], 5, axis=0)
        back[:, 2, 3] += np.linspace(0.0, 0.05, 5)
        arm.servo_poses(back, 0.001)
        assert arm.status().error == 0


@needs_sdk
def test_emergency_button_and_stop_are_a_persons_doing(box: XArmBox, arm: Arm) -> None:
    arm.enable()
    box.press_estop()
    for call in (lambda: arm.move_joints(HOME), arm.recover, arm.enable):
        with pytest.raises(ArmStopped) as caught:
            call()
        assert not caught.value.action_caused
    box.release_estop()
    arm.recover()
    arm.emergency_stop()
    assert box.controller.state == 4
    with pytest.raises(ArmStopped):
        arm.move_joints(HOME)
    arm.enable()
    arm.move_joints(HOME)


@needs_sdk
def test_emergency_stop_from_another_thread_ends_a_motion() -> None:
    with XArmBox(time_scale=1.0) as box, Arm(config(box)) as arm:
        arm.enable()
        timer = threading.Timer(0.2, arm.emergency_stop)
        timer.start()
        with pytest.raises(ArmStopped):
            arm.move_joints(turned(1.0), speed_rad_s=0.3)
        timer.join()
        assert 0.0 < box.joints()[0] < 1.0


@needs_sdk
def test_an_old_pose_is_never_given_for_a_new_one(box: XArmBox, arm: Arm) -> None:
    arm.enable()
    arm.joints(), arm.pose()
    for register, ask in ((wire.Register.GET_JOINTS, arm.joints), (wire.Register.GET_TCP_POSE, arm.pose)):
        for fault, kind in (
            (Fault("silent", command=1, register=register), ArmTimeout),
            (Fault("late", command=1, register=register, delay_s=0.6), ArmTimeout),
            (Fault("stray_id", command=1, register=register), ArmTimeout),
            (Fault("stray_protocol", command=1, register=register), ArmFault),
            (Fault("truncated", command=1, register=register), ArmFault),
        ):
            box.inject(fault)
            with pytest.raises(kind) as caught:
                ask()
            assert not caught.value.action_caused
            ask()


@needs_sdk
def test_a_servo_motor_fault_and_a_lost_connection_are_the_devices(box: XArmBox) -> None:
    clock = Clock()
    with Arm(config(box), sleep=clock.sleep, monotonic=clock.monotonic) as arm:
        arm.enable(SERVO)
        path = HOME + np.linspace(0.0, 0.3, 40)[:, None] * np.eye(6)[0]
        box.inject(Fault("error", step=50, code=13))
        with pytest.raises(ArmFault, match="joint 3") as caught:
            arm.servo_joints(path, 0.02)
        assert caught.value.step is not None
        arm.recover(SERVO)
        box.cut()
        with pytest.raises(ArmFault) as caught:
            arm.servo_joints(np.repeat(box.joints()[None], 500, axis=0), 0.02)
        assert isinstance(caught.value, ArmDisconnected | ArmTimeout)
    assert box.controller.state == 4, "stopped over a new connection"


@needs_sdk
def test_nobody_there_and_somebody_silent(box: XArmBox) -> None:
    with XArmBox() as gone:
        host = gone.host
    with pytest.raises(ArmDisconnected, match=host.replace(".", r"\.")):
        Arm(ArmConfig(ip=host, control_port=gone.control_port)).connect()
    box.silence()
    start = time.monotonic()
    with pytest.raises(ArmTimeout, match="does not answer"):
        Arm(config(box, connect_timeout_s=0.5)).connect()
    assert time.monotonic() - start < 5.0


# --- the way out ------------------------------------------------------------------------------------------------------
@needs_sdk
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_any_exception_leaves_the_arm_stopped_and_holding(error: type[BaseException]) -> None:
    with XArmBox(time_scale=1.0) as box:
        with pytest.raises(error), Arm(config(box)) as arm:  # noqa: PT012
            arm.enable()
            arm.sdk.set_servo_angle(angle=turned(1.0).tolist(), speed=0.3, wait=False)
            raise error
        assert (box.controller.state, len(box.controller.queue)) == (4, 0)
        assert box.controller.enabled, "without motors the arm would sink"
        where = box.joints()
        assert where[0] < 0.5


@contextmanager
def interrupted_after(delay_s: float) -> Iterator[None]:
    timer = threading.Timer(delay_s, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@needs_sdk
def test_ctrl_c_inside_the_sdk_is_not_swallowed() -> None:
    """The SDK's bare ``except`` clauses eat a KeyboardInterrupt that is raised while it waits for an answer."""
    with XArmBox(time_scale=1.0) as box:
        with Arm(config(box)) as arm:
            arm.enable()
            box.inject(Fault("silent", command=1, register=wire.Register.GET_JOINTS))
            arm.sdk.set_timeout(1.0)
            with interrupted_after(0.3), pytest.raises(KeyboardInterrupt):
                arm.joints()
            with interrupted_after(0.3), pytest.raises(KeyboardInterrupt):
                arm.move_joints(turned(1.0), speed_rad_s=0.3)
            assert box.controller.state == 4, "an interrupted motion does not go on"
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@needs_sdk
def test_sigterm_and_a_forgotten_close_stop_the_arm() -> None:
    script = textwrap.dedent("""
        import sys, time, numpy as np
        from deft_env.rigs.real.arm import Arm, ArmConfig
        arm = Arm(ArmConfig(ip=sys.argv[1], control_port=int(sys.argv[2]))).connect()
        arm.enable()
        arm.sdk.set_servo_angle(angle=[1.5, -0.3, -1.2, 0, 1.5, 0], speed=0.2, wait=False)
        print("moving", flush=True)
        if sys.argv[3] == "wait":
            time.sleep(60)
    """)
    for how in ("wait", "leave"):
        with XArmBox(time_scale=1.0) as box:
            command = [sys.executable, "-c", script, box.host, str(box.control_port), how]
            child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert child.stdout is not None
            assert any("moving" in line for line in iter(child.stdout.readline, ""))
            if how == "wait":
                child.send_signal(signal.SIGTERM)
            child.stdout.close()
            assert child.wait(timeout=20) == (143 if how == "wait" else 0)
            assert (box.controller.state, len(box.controller.queue)) == (4, 0)
            assert box.joints()[0] < 1.4


@needs_sdk
def test_a_stop_that_is_not_confirmed_is_shouted() -> None:
    with XArmBox() as box:
        arm = Arm(config(box, connect_timeout_s=0.3)).connect()
        arm.enable()
        box.silence()
        with pytest.raises(ArmFault, match="EMERGENCY BUTTON"):
            arm.close()
        arm.close()
    assert not guard._open


@needs_sdk
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127/8")
def test_two_arms_at_once() -> None:
    with (
        XArmBox(time_scale=math.inf) as a,
        XArmBox(time_scale=math.inf) as b,
        Arm(config(a)) as one,
        Arm(config(b)) as two,
    ):
        one.enable()
        two.enable()
        one.move_joints(turned(0.2))
        a.collide()
        two.move_joints(turned(-0.2))
        with pytest.raises(ArmCollision):
            one.move_joints(HOME)
        np.testing.assert_allclose((a.joints()[0], b.joints()[0]), (0.2, -0.2), atol=1e-6)

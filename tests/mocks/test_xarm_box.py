"""The vendor's real SDK against the control box's stand-in, on loopback."""

from __future__ import annotations

import math
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deft_env.rigs.real.arm import xarm_kinematics
from deft_mocks.xarm import ArmWorld, Fault, FaultPlan, KinematicWorld, random_faults, wire
from deft_mocks.xarm_box import XArmBox, sdk_control_port

pytest.importorskip("xarm", reason="xarm-python-sdk is not installed (extra 'hardware')")
several_loopbacks = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127/8")
STOPPED = (1, 9, -9)
"""What the SDK returns for a motion that an error ended: report, state and reply race to it, on a real box too."""
HOME = np.array([0.0, -0.3, -1.2, 0.0, 1.5, 0.0])


@contextmanager
def connected(box: XArmBox, **kwargs: Any) -> Iterator[Any]:
    from xarm.wrapper import XArmAPI

    with sdk_control_port(box.control_port):
        arm = XArmAPI(box.host, is_radian=True, check_simulation_mode=False, **kwargs)
        try:
            yield arm
        finally:
            arm.disconnect()


def ready(arm: Any, mode: int = 0) -> None:
    assert (arm.motion_enable(True), arm.set_mode(mode), arm.set_state(0)) == (0, 0, 0)


def wait_for(condition: Any, limit_s: float = 3.0) -> bool:
    deadline = time.monotonic() + limit_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
    return bool(condition())


def arrives(move: Any) -> bool:
    """Whether a motion ends well; tried again, as a report from before the error was cleared may reach the SDK late."""
    return wait_for(lambda: move() == 0, limit_s=10.0)


@pytest.fixture
def box() -> Iterator[XArmBox]:
    with XArmBox(time_scale=math.inf) as box:
        yield box


@pytest.fixture
def arm(box: XArmBox) -> Iterator[Any]:
    with connected(box) as arm:
        yield arm


# --- the wire ---------------------------------------------------------------------------------------------------------
def test_report_frames_fill_the_sdks_own_structures_exactly(box: XArmBox) -> None:
    from xarm.x3.report import ReportDataStructure

    box.controller.boundary_mm = (700, 100, 400, -400, 800, -10)
    box.controller.load = (0.8, 1.0, 2.0, 60.0)
    snapshot = box.controller.snapshot()
    for port in wire.REPORT_BYTES:
        decoded = ReportDataStructure.create(port, is_radian=True)
        frame = wire.report(port, snapshot)
        assert len(frame) == len(decoded) == struct.unpack(">I", frame[:4])[0]
        decoded.update(frame)
        np.testing.assert_allclose(decoded.actual_joint_angle[:6], HOME, atol=1e-6)
        assert (decoded.state, decoded.mode) == (4, 0)
        if port != 30003:
            np.testing.assert_allclose(decoded.tcp_payload, [0.8, 1, 2, 60], atol=1e-6)
            assert (decoded.error_code, decoded.collision_sens) == (0, 3)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 255), st.binary(max_size=90)), max_size=5), st.data())
def test_frames_survive_any_cutting(frames: list[tuple[int, int, bytes]], data: st.DataObject) -> None:
    stream = b"".join(struct.pack(">HHHB", t, 2, 1 + len(p), r) + p for t, r, p in frames)
    buffer, out = bytearray(), []
    while stream:
        n = data.draw(st.integers(1, len(stream)))
        buffer += stream[:n]
        stream = stream[n:]
        out += wire.split(buffer)
    assert [(r.transaction, r.register, r.params) for r in out] == frames
    assert not buffer


def test_garbage_and_standard_modbus_close_the_connection_and_nothing_else(box: XArmBox) -> None:
    rng = np.random.default_rng(0)
    for data in [bytes([0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1]), *(rng.bytes(200) for _ in range(20))]:
        with socket.create_connection((box.host, box.control_port), timeout=2.0) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass
    # short parameters of every register, well framed
    with socket.create_connection((box.host, box.control_port), timeout=2.0) as sock:
        for register in range(256):
            sock.sendall(struct.pack(">HHHB", register, 2, 1, register))
            size = struct.unpack(">HHH", sock.recv(6, socket.MSG_WAITALL))[2]
            answer = sock.recv(size, socket.MSG_WAITALL)
            assert answer[0] == register
    with connected(box) as arm:
        assert arm.get_state()[0] == 0
    assert box.crash is None


def test_unknown_command_is_a_code_and_not_an_exception(arm: Any) -> None:
    assert arm.get_cgpio_analog()[0] == 10
    assert arm.get_err_warn_code() == (0, [0, 0])


# --- states and motions -----------------------------------------------------------------------------------------------
def test_nothing_moves_before_it_is_enabled_and_in_the_right_mode(box: XArmBox, arm: Any) -> None:
    assert arm.get_state() == (0, 4)
    assert arm.set_servo_angle_j(HOME) == 9
    arm.motion_enable(True)
    arm.set_mode(0)
    assert arm.get_state() == (0, 5)
    arm.set_state(0)
    assert arm.get_state() == (0, 2)
    assert arm.set_servo_angle_j(HOME + 0.01) == 9, "servo command in position mode"
    np.testing.assert_array_equal(box.joints(), HOME)


def test_joint_line_and_relative_motions_arrive(box: XArmBox, arm: Any) -> None:
    ready(arm)
    goal = np.array([0.4, -0.5, -1.0, 0.2, 1.2, -0.3])
    assert arm.set_servo_angle(angle=goal.tolist(), speed=1.0, wait=True, timeout=10) == 0
    np.testing.assert_allclose(box.joints(), goal, atol=1e-6)
    np.testing.assert_allclose(arm.get_servo_angle()[1][:6], goal, atol=1e-5)
    code, pose = arm.get_position()
    assert code == 0
    assert arm.set_position(x=pose[0] - 40, z=pose[2] + 30, wait=True, timeout=10) == 0, "omitted ones keep their value"
    np.testing.assert_allclose(arm.get_position()[1], [pose[0] - 40, pose[1], pose[2] + 30, *pose[3:]], atol=1e-2)
    assert arm.set_position(z=-20, relative=True, wait=True, timeout=10) == 0
    np.testing.assert_allclose(arm.get_position()[1][:3], [pose[0] - 40, pose[1], pose[2] + 10], atol=1e-2)
    assert arm.set_servo_angle(angle=[0.1] + [0.0] * 5, relative=True, wait=True, timeout=10) == 0
    assert arm.set_servo_angle(servo_id=1, angle=0.0, wait=True, timeout=10) == 0
    assert abs(box.joints()[0]) < 1e-6


def test_lines_are_straight_for_the_tool_point(box: XArmBox, arm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ready(arm)
    assert arm.set_tcp_offset([0, 0, 150, 0, 0, 0], wait=False) == 0
    T0, points = box.controller.pose(), []
    step = box.controller.world.step
    box.controller.world.step = lambda dt: (step(dt), points.append(box.controller.pose()[:3, 3]))[0]  # type: ignore[method-assign]
    assert (
        arm.set_position(*[*(T0[:3, 3] * 1000 + [-60, 120, -80]).tolist(), math.pi, 0.2, 0.5], wait=True, timeout=9)
        == 0
    )
    way = np.array([-0.06, 0.12, -0.08])
    off = np.cross(np.array(points) - T0[:3, 3], way / np.linalg.norm(way))
    assert len(points) > 100
    assert np.linalg.norm(off, axis=1).max() < 1e-3


@pytest.mark.parametrize("firmware", ["v1.8.0", "v1.12.0", "v2.0.0"])
def test_older_firmware_is_spoken_to_differently_and_still_works(firmware: str) -> None:
    with XArmBox(time_scale=math.inf, firmware=firmware) as box, connected(box) as arm:
        ready(arm)
        assert arm.set_servo_angle(angle=[0.2, *HOME[1:]], wait=True, timeout=10) == 0
        _, pose = arm.get_position()
        assert arm.set_position(*pose[:2], pose[2] - 30, *pose[3:], wait=True, timeout=10) == 0
        np.testing.assert_allclose(arm.get_position()[1][2], pose[2] - 30, atol=1e-2)


def test_queue_counts_and_is_emptied_by_a_stop() -> None:
    with XArmBox(time_scale=1.0) as box, connected(box) as arm:
        ready(arm)
        for x in (0.5, -0.5, 0.5):
            assert arm.set_servo_angle(angle=[x, *HOME[1:]], speed=0.3, wait=False) == 0
        assert arm.get_cmdnum()[1] == 3
        assert wait_for(lambda: arm.get_state()[1] == 1 and box.joints()[0] > 1e-3)
        arm.emergency_stop()
        where = box.joints()
        assert (arm.get_state(), arm.get_cmdnum()) == ((0, 4), (0, 0))
        assert arm.set_servo_angle(angle=HOME.tolist()) != 0
        np.testing.assert_array_equal(box.joints(), where)


def test_pause_holds_and_goes_on() -> None:
    with XArmBox(time_scale=5.0) as box, connected(box) as arm:
        ready(arm)
        arm.set_servo_angle(angle=[1.0, *HOME[1:]], speed=0.5)
        assert wait_for(lambda: box.joints()[0] > 0.01)
        arm.set_state(3)
        at = box.joints()
        assert arm.get_state() == (0, 3)
        assert arm.get_cmdnum()[1] == 1
        np.testing.assert_allclose(box.joints(), at, atol=0.05)
        arm.set_state(0)
        assert wait_for(lambda: abs(box.joints()[0] - 1.0) < 1e-3)


def test_the_controllers_kinematics_are_the_arms(box: XArmBox, arm: Any) -> None:
    rng = np.random.default_rng(3)
    for _ in range(10):
        q = HOME + rng.uniform(-0.4, 0.4, 6)
        T = xarm_kinematics.forward(q)
        code, pose = arm.get_forward_kinematics(q.tolist())
        assert code == 0
        np.testing.assert_allclose(pose[:3], 1000 * T[:3, 3], atol=1e-2)
        code, back = arm.get_inverse_kinematics(pose)
        assert code == 0
        np.testing.assert_allclose(xarm_kinematics.forward(back[:6]), T, atol=1e-4)
    assert arm.get_inverse_kinematics([2000, 0, 0, math.pi, 0, 0])[0] == 10
    assert arm.get_err_warn_code() == (0, [0, 14])


def test_limits_boundary_and_servo_jumps_are_errors(box: XArmBox, arm: Any) -> None:
    ready(arm, mode=1)
    assert arm.set_servo_angle_j(HOME + 0.3) == 1
    assert arm.get_err_warn_code()[1] == [60, 0]
    arm.clean_error()
    ready(arm)
    arm.set_reduced_tcp_boundary([700, 100, 400, -400, 800, 450])
    arm.set_fence_mode(True)
    assert arm.set_position(z=400, wait=True, timeout=5) in STOPPED
    assert arm.get_err_warn_code()[1] == [35, 0]
    assert box.controller.pose()[2, 3] > 0.445


# --- faults -----------------------------------------------------------------------------------------------------------
def test_collision_at_a_step_stops_there_and_is_recovered_from() -> None:
    with XArmBox(time_scale=math.inf, faults=[Fault("collision", step=40)]) as box, connected(box) as arm:
        ready(arm)
        assert arm.set_servo_angle(angle=[1.0, *HOME[1:]], speed=0.5, wait=True, timeout=10) in STOPPED
        assert (box.controller.steps, arm.get_err_warn_code()[1][0], arm.get_state()[1]) == (40, 31, 4)
        assert arm.set_servo_angle(angle=HOME.tolist()) == 1
        arm.clean_error()
        ready(arm)
        assert arrives(lambda: arm.set_servo_angle(angle=HOME.tolist(), wait=True, timeout=10))


def test_touching_the_table_is_a_collision_that_one_can_back_off_from() -> None:
    world = KinematicWorld(HOME, table_z_m=0.45)
    with XArmBox(world=world, time_scale=math.inf) as box, connected(box) as arm:
        ready(arm)
        assert arm.set_position(z=400, wait=True, timeout=5) in STOPPED
        assert arm.get_err_warn_code()[1][0] == 31
        assert 0.449 < box.controller.pose()[2, 3] < 0.46
        arm.clean_error()
        ready(arm)
        assert arrives(lambda: arm.set_position(z=500, wait=True, timeout=5))


def test_emergency_button_cannot_be_cleared_while_pressed(box: XArmBox, arm: Any) -> None:
    ready(arm)
    box.press_estop()
    arm.clean_error()
    assert arm.get_err_warn_code()[1] == [1, 0]
    arm.motion_enable(True)
    arm.set_state(0)
    assert arm.get_state() == (0, 4)
    box.release_estop()
    arm.clean_error()
    ready(arm)
    assert arm.get_state() == (0, 2)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault("silent", command=1, register=wire.Register.GET_STATE), 3),
        (Fault("late", command=1, register=wire.Register.GET_STATE, delay_s=0.3), 3),
        (Fault("stray_id", command=1, register=wire.Register.GET_STATE), 3),
        (Fault("stray_protocol", command=1, register=wire.Register.GET_STATE), 6),
    ],
)
def test_faults_of_one_answer_give_the_sdks_own_codes(fault: Fault, code: int) -> None:
    with XArmBox() as box, connected(box) as arm:
        arm.set_timeout(0.1)
        box.inject(fault)
        assert arm.get_state()[0] == code
        time.sleep(0.3 if fault.kind == "late" else 0.0)
        assert arm.get_state() == (0, 4), "one answer only"


def test_truncated_pose_raises_out_of_the_sdk() -> None:
    with XArmBox() as box, connected(box) as arm:
        box.inject(Fault("truncated", command=2, register=wire.Register.GET_TCP_POSE))
        assert arm.get_position()[0] == 0
        with pytest.raises((ValueError, struct.error)):
            arm.get_position()


def test_cut_and_silence() -> None:
    with XArmBox() as box, connected(box) as arm:
        box.silence()
        arm.set_timeout(0.05)
        assert arm.get_state()[0] == 3
        box.silence(False)
        assert arm.get_state()[0] == 0
        box.cut()
        assert wait_for(lambda: arm.get_state()[0] == -1)
        with connected(box) as again:
            assert again.get_state()[0] == 0


def test_fault_plans_count_per_register_and_check_themselves() -> None:
    plan = FaultPlan([Fault("silent", command=2, register=41, count=2), Fault("late", command=3, delay_s=0.1)])
    hits = [[f.kind for f in plan.on_command(r)] for r in (41, 13, 41, 41, 41)]
    assert hits == [[], [], ["silent", "late"], ["silent"], []]
    for wrong in (
        {"kind": "silent", "step": 3},
        {"kind": "error", "step": 1},
        {"kind": "cut"},
        {"kind": "cut", "step": 0},
    ):
        with pytest.raises(ValueError):
            Fault(**wrong)  # type: ignore[arg-type]


def test_seeded_faults_are_the_seeds() -> None:
    rates: dict[Any, float] = {"collision": 0.02, "late": 0.05}
    faults = random_faults(1, 2000, rates)
    assert faults == random_faults(1, 2000, rates) != random_faults(2, 2000, rates)
    assert 20 < sum(f.kind == "collision" for f in faults) < 65
    assert [f for f in faults if f.kind == "late"] == list(random_faults(1, 2000, {"late": 0.05}))


# --- worlds, clocks, company ------------------------------------------------------------------------------------------
class Sluggish:
    """A world of the reader's own: joints crawl towards their targets."""

    def __init__(self) -> None:
        self.q = HOME.copy()
        self.target = self.q

    def get_joints(self) -> np.ndarray:
        return self.q.copy()

    def set_joint_targets(self, q_rad: np.ndarray) -> None:
        self.target = q_rad

    def step(self, dt_s: float) -> None:
        self.q = self.q + 10.0 * dt_s * (self.target - self.q)

    def collision(self, sensitivity: int) -> str | None:
        return "the wall" if self.q[0] > 0.5 and sensitivity >= 3 else None


def test_another_world_stands_behind_the_same_box() -> None:
    world = Sluggish()
    assert isinstance(world, ArmWorld)
    with XArmBox(world=world, time_scale=math.inf) as box, connected(box) as arm:
        ready(arm)
        assert arm.set_servo_angle(angle=[0.4, *HOME[1:]], wait=True, timeout=10) == 0
        assert abs(world.q[0] - 0.4) < 0.01
        assert arm.set_servo_angle(angle=[0.7, *HOME[1:]], wait=True, timeout=10) in STOPPED
        assert arm.get_err_warn_code()[1][0] == 31


def test_lockstep_repeats_bit_for_bit() -> None:
    def play() -> tuple[np.ndarray, int]:
        with XArmBox(world=Sluggish(), time_scale=math.inf) as box, connected(box) as arm:
            ready(arm)
            arm.set_servo_angle(angle=[0.1, *HOME[1:]], wait=True, timeout=10)
            ready(arm, mode=1)
            for i in range(60):
                assert arm.set_servo_angle_j(HOME + np.array([0.1 + 0.003 * i, 0, 0, 0, 0, -0.01 * i])) == 0
            return box.joints(), box.controller.steps

    (a, n), (b, m) = play(), play()
    np.testing.assert_array_equal(a, b)
    assert n == m


@several_loopbacks
def test_several_boxes_at_once_do_not_mix() -> None:
    with (
        XArmBox(time_scale=math.inf) as one,
        XArmBox(time_scale=math.inf) as two,
        XArmBox(time_scale=math.inf) as three,
    ):
        boxes = (one, two, three)
        assert len({b.host for b in boxes}) == 3
        failures: list[Any] = []

        def drive(box: XArmBox, x: float) -> None:
            with connected(box) as arm:
                ready(arm)
                failures.append(arm.set_servo_angle(angle=[x, *HOME[1:]], wait=True, timeout=10))

        with sdk_control_port(one.control_port):
            threads = [threading.Thread(target=drive, args=(b, 0.1 * i)) for i, b in enumerate(boxes, 1)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
        assert failures == [0, 0, 0]
        for i, b in enumerate(boxes, 1):
            assert abs(b.joints()[0] - 0.1 * i) < 1e-6


def test_no_port_is_privileged_and_a_taken_address_is_named(box: XArmBox) -> None:
    assert min(box.control_port, *wire.REPORT_BYTES) > 1023
    with pytest.raises(OSError, match=box.host.replace(".", r"\.")):
        XArmBox(box.host).start()


@pytest.mark.skipif(sys.platform != "linux", reason="the SDK's Unix socket exists on Linux only")
@pytest.mark.skipif(os.path.exists("/tmp/xarmcontroller_uds_502"), reason="another box uses the Unix socket")
def test_unix_socket_needs_no_changed_port() -> None:
    from xarm.wrapper import XArmAPI

    with XArmBox(time_scale=math.inf, uds=True) as box:
        arm = XArmAPI(box.host, is_radian=True)
        try:
            assert arm.get_state() == (0, 4)
        finally:
            arm.disconnect()
    assert not os.path.exists("/tmp/xarmcontroller_uds_502")

"""The hand driver through the vendor's SDK, on a mock bus: limits, alerts, lost answers, and limp on every way out."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("dynamixel_sdk", reason="needs the extra 'hardware' (dynamixel-sdk)")

from deft_env import grasp
from deft_env.rigs.real.hand import DynamixelHand, JointHand, MotorMap
from deft_env.rigs.real.hand.config import RAD_PER_TICK, HandConfig, MotorConfig
from deft_env.rigs.real.hand.dynamixel_registers import REGISTERS
from deft_env.rigs.real.hand.errors import (
    BusCorrupt,
    BusDisconnected,
    BusTimeout,
    HandError,
    MotorAlert,
    MotorRefused,
    WrongMotor,
)
from deft_mocks.dynamixel_bus import MockDynamixelBus, SimpleWorld
from deft_mocks.dynamixel_motor import ITEMS
from deft_mocks.dynamixel_wire import encode_status

BAUD = 4_000_000


@pytest.fixture
def bus():
    with MockDynamixelBus(baud=BAUD) as bus:
        yield bus


@pytest.fixture
def config(bus):
    # No watchdog thread: its polls would take part in the faults that tests count. No sleeping either.
    # Patient: the mock answers late on a busy machine.
    return HandConfig(port=bus.path, baud=BAUD, watchdog_s=0.0, retries=2, patience_s=0.25)


def make(config: HandConfig) -> DynamixelHand:
    now_s = 0.0

    def sleep(duration_s: float) -> None:
        nonlocal now_s
        now_s += duration_s

    # The driver's time is what it slept, as the bus's is what it was asked: neither depends on the machine's load.
    return DynamixelHand(config, clock=lambda: now_s, sleep=sleep)


def torques(bus: MockDynamixelBus) -> set[int]:
    return {m.get("torque") for m in bus.motors.values()}


def test_registers_are_those_of_the_control_table() -> None:
    assert {n: (r.address, r.size, r.signed) for n, r in REGISTERS.items()} == {
        n: (ITEMS[n].address, ITEMS[n].size, ITEMS[n].signed) for n in REGISTERS
    }


def test_opening_configures_and_enabling_does_not_jump(bus, config) -> None:
    bus.world.positions_rad[4] = 0.7
    bus.advance(0.0)
    with make(config) as hand:
        assert torques(bus) == {1}
        motor = bus.motors[4]
        assert motor.get("mode") == 5
        assert motor.get("goal_current") == motor.get("current_limit") == 350
        assert motor.get("position_p") == 600
        assert abs(hand.state().position_rad[3] - 0.7) < RAD_PER_TICK
    assert torques(bus) == {0}


def test_move_arrives_and_reports_what_was_sent(bus, config) -> None:
    motors = list(config.motors)
    motors[1] = replace(motors[1], sign=-1, zero_tick=1000)
    with make(replace(config, motors=tuple(motors))) as hand:
        wish = np.full(12, 0.3)
        wish[2] = 9.0
        report = hand.move(wish)
        assert report.arrived
        assert report.blocked == ()
        assert report.sent_rad[2] == pytest.approx(motors[2].high_rad, abs=RAD_PER_TICK)
        np.testing.assert_allclose(np.delete(report.sent_rad, 2), 0.3, atol=RAD_PER_TICK / 2)
        np.testing.assert_allclose(report.state.position_rad, report.sent_rad, atol=0.02)
        np.testing.assert_array_equal(hand.limit(report.sent_rad), report.sent_rad)
        assert bus.motors[2].get("goal_position") == 1000 - round(0.3 / RAD_PER_TICK)


def test_a_finger_on_an_object_is_blocked_not_broken(bus, config) -> None:
    bus.world.obstacles_rad[3] = (-1.0, 0.4)
    with make(config) as hand:
        report = hand.move(np.where(np.arange(12) % 3 == 2, 1.0, 0.0))
    assert report.blocked == ("index_curl",)
    assert not report.arrived
    assert report.state.current_ma[2] == 350


@pytest.mark.parametrize("wish", [np.zeros(11), np.zeros((1, 12)), np.full(12, np.nan)])
def test_wrong_wishes_are_refused(bus, config, wish) -> None:
    with make(config) as hand, pytest.raises(ValueError, match="angles_rad"):
        hand.move(wish)


def test_lost_and_damaged_answers_are_retried(bus, config) -> None:
    with make(config) as hand:
        bus.faults.drop_next = 1
        hand.state()
        bus.faults.corrupt_next = 1
        hand.state()
        assert hand.bus.retried >= 2
        bus.faults.corrupt_rate = 1.0
        with pytest.raises((BusCorrupt, BusTimeout)):
            hand.state()
        bus.faults.corrupt_rate = 0.0


@pytest.mark.parametrize("stale", [b"", b"\x19", b"\x19\x00\x00\x00", bytes(29)])
def test_a_late_answer_to_another_question_is_not_taken_for_this_ones(bus, config, monkeypatch, stale) -> None:
    with make(config) as hand:
        read = hand.bus.read(1, "position"), hand.bus.sync_read(["velocity", "position"], [1, 2])
        real, late = bus._answer, []

        def answer(packet, rate):
            # Arrives after the question was sent, in front of its answer.
            return b"".join([*(late and [late.pop()]), real(packet, rate)])

        monkeypatch.setattr(bus, "_answer", answer)
        late.append(encode_status(1, 0, stale))
        if len(stale) != REGISTERS["position"].size:
            assert hand.bus.read(1, "position") == read[0]
            assert hand.bus.retried == 1
        late.append(encode_status(1, 0, stale))
        assert hand.bus.sync_read(["velocity", "position"], [1, 2]) == read[1]
        assert hand.bus.retried >= 1


def test_bytes_that_look_like_a_header_are_read_as_they_are(bus, config) -> None:
    with make(config) as hand:
        bus.motors[2].set("goal_position", -131073)  # FF FF FD FF: the wire puts another FD into it
        assert hand.bus.read(2, "goal_position") == -131073
        values = hand.bus.sync_read(["goal_position", "current"], [1, 2, 3])
    assert values["goal_position"][2] == -131073


def test_a_noisy_bus_still_works(config) -> None:
    with MockDynamixelBus(baud=BAUD, seed=5) as bus:
        bus.faults.corrupt_rate = bus.faults.drop_rate = 0.005
        with make(replace(config, port=bus.path, retries=8)) as hand:
            for _ in range(5):
                assert hand.move(np.full(12, 0.1)).arrived
                assert hand.move(np.zeros(12)).arrived


def test_a_dead_motor_is_named_at_start_and_later(bus, config) -> None:
    bus.faults.dead.add(7)
    with pytest.raises(BusTimeout, match=r"1 of 12 motors.*motor 7 \('ring_side'\)"):
        make(config).open()
    bus.faults.dead.clear()
    with make(config) as hand:
        bus.faults.dead.add(12)
        with pytest.raises(BusTimeout, match=r"motor 12 \('thumb_curl'\).*others"):
            hand.state()
    assert {m.get("torque") for i, m in bus.motors.items() if i != 12} == {0}


def test_wrong_baud_rate_and_wrong_port_in_words(bus, config) -> None:
    with pytest.raises(BusTimeout, match=r"12 of 12 motors do not answer.*baud"):
        make(replace(config, baud=1_000_000, retries=0)).open()
    with pytest.raises(BusDisconnected, match="cannot open"):
        make(replace(config, port="/dev/no-such-hand")).open()
    with pytest.raises(BusDisconnected, match="baud"):
        make(replace(config, baud=12345)).open()


def test_a_motor_of_another_model_is_refused(bus, config) -> None:
    bus.motors[5].set("model", 1200)
    with pytest.raises(WrongMotor, match=r"motor 5 .* model 1200"):
        make(config).open()
    make(replace(config, model_number=None)).open().close()


def test_overload_is_reported_in_words_and_recovered(bus, config) -> None:
    with make(config) as hand:
        bus.overload(6)
        with pytest.raises(MotorAlert, match=r"motor 6 \('middle_curl'\): overload"):
            hand.move(np.full(12, 0.2))
        assert hand.recover() == ("middle_curl",)
        assert torques(bus) == {0}
        assert bus.motors[6].get("mode") == 5
        assert bus.motors[6].get("goal_current") == 350
        with pytest.raises(HandError, match="not enabled"):
            hand.command(np.zeros(12))
        hand.enable()
        assert hand.move(np.full(12, 0.2)).arrived


def test_a_hot_motor_relaxes_the_hand_before_it_shuts_down(bus, config) -> None:
    with make(config) as hand:
        bus.heat(1, 65)
        with pytest.raises(MotorAlert, match=r"motor 1 \('index_side'\) 65 C"):
            hand.check()
        assert torques(bus) == {0}
        bus.heat(1, 75)
        with pytest.raises(MotorAlert, match="overheating"):
            hand.check()
        assert hand.temperatures()["index_side"] == 75


def test_a_tripped_watchdog_is_noticed(bus, config) -> None:
    with make(config) as hand:
        for motor in bus.motors.values():
            motor.set("watchdog", 50)
        bus.advance(1.5)
        with pytest.raises(MotorAlert, match="silent"):
            hand.move(np.full(12, 0.2))
        hand.recover()
        hand.enable()
        assert hand.move(np.full(12, 0.2)).arrived


def test_the_keep_alive_feeds_the_watchdog_and_finds_alerts(bus, config) -> None:
    with make(replace(config, watchdog_s=0.2)) as hand:
        assert {m.get("watchdog") for m in bus.motors.values()} == {10}
        before = len(bus.log)
        deadline = time.monotonic() + 10
        while len(bus.log) == before and time.monotonic() < deadline:
            time.sleep(0.005)
        assert len(bus.log) > before
        bus.overload(2)
        while hand._keeper.alarm is None and time.monotonic() < deadline:
            time.sleep(0.005)
        with pytest.raises(MotorAlert, match="index_forward"):
            hand.command(np.zeros(12))
        hand.recover()
        hand.enable()
        before = len(bus.log)
        while len(bus.log) == before and time.monotonic() < deadline:
            time.sleep(0.005)
        assert len(bus.log) > before, "a recovered hand is kept alive too"
    assert {m.get("watchdog") for m in bus.motors.values()} == {0}


def test_a_write_that_a_motor_refuses(bus, config) -> None:
    with make(config) as hand:
        with pytest.raises(MotorRefused, match="locked while torque is on"):
            hand.bus.write(1, "mode", 3)
        with pytest.raises(MotorRefused, match="exceeds its limit"):
            hand.bus.write(1, "goal_current", 900)


def test_an_unplugged_adapter_is_said_so(config) -> None:
    bus = MockDynamixelBus(baud=BAUD)
    hand = make(replace(config, port=bus.path)).open()
    hand.bus._port.ser.close()
    with pytest.raises(BusDisconnected, match="unplugged"):
        hand.state()
    hand.bus._port = None
    hand.close()
    bus.close()


def test_an_exception_or_ctrl_c_relaxes(bus, config) -> None:
    for kind in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(kind), make(config) as hand:  # noqa: PT012 - the block is what ends badly
            hand.bus._port.is_using = True  # what an interrupt inside the SDK leaves behind
            raise kind
        assert torques(bus) == {0}


PROGRAM = """
    import os, signal, sys
    from deft_env.rigs.real.hand import DynamixelHand
    from deft_env.rigs.real.hand import HandConfig
    hand = DynamixelHand(HandConfig(port=sys.argv[1], baud=4_000_000, retries=8)).open()
    hand.enable()
    print("enabled", flush=True)
    {end}
"""


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("sys.exit(3)", 3),
        ("raise RuntimeError('a bug')", 1),
        ("signal.pause()", 128 + signal.SIGTERM),
    ],
    ids=["exit", "bug", "sigterm"],
)
def test_however_the_program_ends_the_hand_is_limp(bus, end, code) -> None:
    source = textwrap.dedent(PROGRAM).format(end=end)
    process = subprocess.Popen(
        [sys.executable, "-c", source, bus.path],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"enabled\n"
    if end == "signal.pause()":
        process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == code
    process.stdout.close()
    assert torques(bus) == {0}


def test_a_killed_program_leaves_motors_without_current(bus) -> None:
    source = textwrap.dedent(PROGRAM).format(end="signal.pause()")
    process = subprocess.Popen(
        [sys.executable, "-c", source, bus.path],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"enabled\n"
    process.kill()
    process.wait(timeout=30)
    process.stdout.close()
    bus.advance(2.1)
    assert {m.get("goal_current") for m in bus.motors.values()} == {0}


def test_joint_hand_reports_the_executed_pose(bus, config) -> None:
    with make(config) as driver:
        hand = JointHand(driver, MotorMap.nominal())
        wish = np.full(16, 0.5)
        executed, report = hand.move(wish)
        np.testing.assert_allclose(executed, grasp.motors_to_joints(grasp.joints_to_motors(wish)), atol=RAD_PER_TICK)
        assert report.arrived
        np.testing.assert_allclose(hand.joints(), executed, atol=0.02)


def test_joint_hand_maps_motors_by_name(bus, config) -> None:
    # Zero ticks equal, ids reversed: only names may decide which motor bends which finger.
    motors = tuple(replace(m, id=13 - m.id) for m in reversed(config.motors))
    with make(replace(config, motors=motors)) as driver:
        joints = np.zeros(16)
        joints[grasp.JOINT_NAMES.index("ring_forward")] = 0.6
        JointHand(driver, MotorMap.nominal()).move(joints)
        ring = next(m.id for m in motors if m.name == "ring_forward")
        moved = {i for i, m in bus.motors.items() if abs(m.get("goal_position") - 2048) > 50}
        assert moved == {ring}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"motors": (MotorConfig("a", 1), MotorConfig("b", 1))}, "ids must be unique"),
        ({"motors": ()}, "at least one"),
        ({"watchdog_s": 3.0}, "watchdog_s"),
        ({"max_speed_rad_s": 0.0}, "max_speed_rad_s"),
    ],
)
def test_wrong_configurations(change, words) -> None:
    with pytest.raises(ValueError, match=words):
        HandConfig(**change)


def test_a_bus_of_another_size(config) -> None:
    world = SimpleWorld()
    with MockDynamixelBus([20, 21], baud=BAUD, world=world) as bus:
        motors = (MotorConfig("left", 20), MotorConfig("right", 21))
        with make(replace(config, port=bus.path, motors=motors)) as hand:
            assert hand.move([0.2, -0.2]).arrived
            with pytest.raises(ValueError, match="motor_map"):
                JointHand(hand, MotorMap.nominal())

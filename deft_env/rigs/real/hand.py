"""The soft hand on a Dynamixel bus: current-limited position control, alerts in words, limp on exit.

Bus size, ids, signs, zeros, ranges and limits are configuration: the paper does not publish the hand's motors. The
defaults assume twelve XC330-M288, three a finger. Angles here are MOTOR angles (rad at the motor's horn, 0 at its zero
tick); ``MotorMap`` turns them into finger joints.

Every way out of the program ends with torque off: the context manager, ``atexit``, SIGTERM and SIGHUP; should the
process be killed outright, the motors' own bus watchdog drops the current.
"""

from __future__ import annotations

import atexit
import contextlib
import signal
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env import grasp
from deft_env.rigs.real.dynamixel_bus import (
    BusDisconnected,
    BusTimeout,
    DynamixelBus,
    HandError,
    MotorAlert,
    WrongMotor,
    alert_words,
)
from deft_env.rigs.real.hand_config import (
    CURRENT_BASED_POSITION,
    RAD_PER_TICK,
    RAD_S_PER_UNIT,
    WATCHDOG_UNIT_S,
    HandConfig,
    MotorConfig,
)
from deft_env.rigs.real.motor_map import MotorMap

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class HandState:
    """What the motors say, in the order of the configuration: rad, rad/s, mA; each (n,)."""

    position_rad: Array
    velocity_rad_s: Array
    current_ma: Array


@dataclass(frozen=True, slots=True, eq=False)
class MoveReport:
    """How a move went.

    Attributes:
        wished_rad: (n,) what was asked for.
        sent_rad: (n,) what was really sent: within the range, rounded to ticks.
        state: at the end.
        arrived: whether every motor came within tolerance in time.
        blocked: names of motors that stopped short, as fingers on an object do.
    """

    wished_rad: Array
    sent_rad: Array
    state: HandState
    arrived: bool
    blocked: tuple[str, ...]


class DynamixelHand:
    """The hand. ``with DynamixelHand(config) as hand: hand.move(angles)``; leaving the block drops the torque."""

    def __init__(
        self,
        config: HandConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepares the driver; ``clock`` and ``sleep`` may be replaced in tests."""
        self.config = config
        self.names = tuple(m.name for m in config.motors)
        self._ids = [m.id for m in config.motors]
        self._sign = np.array([m.sign for m in config.motors], dtype=np.float64)
        self._zero = np.array([m.zero_tick for m in config.motors], dtype=np.float64)
        self._low = np.array([m.low_rad for m in config.motors])
        self._high = np.array([m.high_rad for m in config.motors])
        self._clock, self._sleep = clock, sleep
        self.bus = DynamixelBus(
            config.port, config.baud, names=dict(zip(self._ids, self.names, strict=True)), retries=config.retries,
            patience_s=config.patience_s,
        )  # fmt: skip
        self._stop = threading.Event()
        self._keeper: threading.Thread | None = None
        self._alarm: HandError | None = None
        self._old_signals: dict[int, Any] = {}
        self._enabled = False

    # --- life ---------------------------------------------------------------------------------------------------------
    def open(self) -> Self:
        """Opens the bus, checks every motor, configures it with torque off; nothing moves.

        Raises:
            HandError: one of its kinds, in words.
        """
        self.bus.open()
        try:
            missing, wrong = [], []
            for motor in self.config.motors:
                try:
                    model = self.bus.ping(motor.id)
                except BusTimeout:
                    missing.append(self.bus.name(motor.id))
                    continue
                if self.config.model_number is not None and model != self.config.model_number:
                    wrong.append(f"{self.bus.name(motor.id)} is model {model}")
            if missing:
                which = f": {', '.join(missing)}" if len(missing) < len(self._ids) else ""
                raise BusTimeout(
                    f"{len(missing)} of {len(self._ids)} motors do not answer on {self.config.port} at "
                    f"{self.config.baud} baud{which}; check power, cables, ids and baud rate"
                )
            if wrong:
                raise WrongMotor(f"model_number: expected {self.config.model_number}, but {'; '.join(wrong)}")
            self.check()
            self._configure(self.config.motors)
        except BaseException:
            self.close()
            raise
        self._guard_exit()
        return self

    def _configure(self, motors: Sequence[MotorConfig]) -> None:
        config = self.config
        for motor in motors:
            for register, value in (
                ("watchdog", 0),
                ("torque", 0),
                ("return_delay", config.return_delay),
                ("mode", CURRENT_BASED_POSITION),
                ("current_limit", motor.current_limit_ma),
                ("goal_current", motor.current_limit_ma),
                ("position_p", config.kp),
                ("position_i", config.ki),
                ("position_d", config.kd),
                ("profile_velocity", int(config.max_speed_rad_s / RAD_S_PER_UNIT)),
            ):
                self.bus.write(motor.id, register, value)

    def enable(self) -> None:
        """Torque on, holding the present pose: the hand does not jump. Starts the keep-alive of the bus watchdog."""
        self.check()
        present = self.bus.sync_read(["position"], self._ids)["position"]
        for number in self._ids:
            # The goal first, and acknowledged: not every firmware forgets an old goal when torque comes on.
            self.bus.write(number, "goal_position", present[number])
            self.bus.write(number, "torque", 1)
        self._enabled = True
        if self.config.watchdog_s > 0:
            units = max(1, round(self.config.watchdog_s / WATCHDOG_UNIT_S))
            for motor in self.config.motors:
                self.bus.write(motor.id, "watchdog", units)
            if self._keeper is None:
                self._stop.clear()
                self._keeper = threading.Thread(target=self._keep_alive, name="hand-keep-alive", daemon=True)
                self._keeper.start()

    def relax(self) -> None:
        """Torque off on every motor that can be reached; never raises, so that it can run on any way out."""
        self._enabled = False
        self.bus.unjam()
        if not self.bus.is_open:
            return
        with contextlib.suppress(HandError, OSError):
            # Unanswered, hence fast; then each motor again, with its word that it heard.
            self.bus.sync_write("torque", dict.fromkeys(self._ids, 0))
        for motor in self._ids:
            try:
                self.bus.write(motor, "torque", 0)
                self.bus.write(motor, "watchdog", 0)
            except BusDisconnected:
                return
            except (HandError, OSError):
                continue

    def close(self) -> None:
        """Drops the torque and frees the bus and the signal handlers; may be called twice."""
        self._stop.set()
        keeper, self._keeper = self._keeper, None
        if keeper is not None and keeper is not threading.current_thread():
            keeper.join(timeout=2.0)
        self.relax()
        self.bus.close()
        if threading.current_thread() is threading.main_thread():
            for number, old in self._old_signals.items():
                signal.signal(number, old)
        self._old_signals = {}

    def __enter__(self) -> Self:
        self.open()
        try:
            self.enable()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _guard_exit(self) -> None:
        reference = weakref.ref(self)

        def at_exit() -> None:
            hand = reference()
            if hand is not None:
                hand.close()

        atexit.register(at_exit)
        if threading.current_thread() is not threading.main_thread():
            return

        def on_signal(number: int, frame: FrameType | None) -> None:
            hand = reference()
            old = hand._old_signals.get(number) if hand is not None else None
            if hand is not None:
                hand.relax()
            if callable(old):
                old(number, frame)
            else:
                raise SystemExit(128 + number)

        for number in (signal.SIGTERM, signal.SIGHUP) if hasattr(signal, "SIGHUP") else (signal.SIGTERM,):
            self._old_signals[number] = signal.signal(number, on_signal)

    def _keep_alive(self) -> None:
        """Polls alerts often enough that the motors' watchdogs never trip while this process lives."""
        while not self._stop.wait(self.config.watchdog_s / 4):
            try:
                self._poll()
            except HandError as error:
                self._alarm = error
                return

    # --- health -------------------------------------------------------------------------------------------------------
    def check(self) -> None:
        """Reads alerts and temperatures of all motors.

        Raises:
            MotorAlert: naming each motor, what is wrong, and what to do.
            BusTimeout: if a motor is silent.
        """
        if self._alarm is not None:
            alarm, self._alarm = self._alarm, None
            raise alarm
        self._poll()

    def _poll(self) -> None:
        # Group reads discard the alert bit, so register 70 has to be asked for.
        flags = self.bus.sync_read(["hardware_error", "watchdog"], self._ids)
        bad = [f"{self.bus.name(i)}: {alert_words(bits)}" for i, bits in flags["hardware_error"].items() if bits]
        if bad:
            raise MotorAlert(
                f"hardware alert, torque is off on {'; '.join(bad)}. Free the finger, let it cool, then call recover()"
            )
        if self._enabled and any(value < 0 for value in flags["watchdog"].values()):
            self._enabled = False
            raise MotorAlert(
                f"the bus was silent for more than watchdog_s = {self.config.watchdog_s} s and the motors went limp; "
                "call recover(), then enable()"
            )
        temperatures = self.bus.sync_read(["temperature"], self._ids)["temperature"]
        hot = {i: t for i, t in temperatures.items() if t > self.config.max_temperature_c}
        if hot:
            self.relax()
            words = ", ".join(f"{self.bus.name(i)} {t} C" for i, t in hot.items())
            raise MotorAlert(
                f"too hot (limit {self.config.max_temperature_c} C): {words}; the hand was relaxed, let it cool"
            )

    def temperatures(self) -> dict[str, int]:
        """Motor name -> temperature, C."""
        values = self.bus.sync_read(["temperature"], self._ids)["temperature"]
        return {name: values[i] for name, i in zip(self.names, self._ids, strict=True)}

    def recover(self) -> tuple[str, ...]:
        """Reboots motors in alert, frees those whose watchdog tripped, configures both again; torque off on all.

        Returns:
            The names of the motors that were brought back. Call ``enable`` to go on.

        Raises:
            MotorAlert: if an alert comes back at once.
        """
        self._alarm = None
        flags = self.bus.sync_read(["hardware_error", "watchdog"], self._ids)
        self.relax()
        again = [m for m in self.config.motors if flags["hardware_error"][m.id] or flags["watchdog"][m.id] < 0]
        for motor in again:
            if flags["hardware_error"][motor.id]:
                self.bus.reboot(motor.id)
                self._wait_awake(motor.id)
        self._configure(again)
        self.check()
        return tuple(m.name for m in again)

    def _wait_awake(self, motor: int) -> None:
        deadline = self._clock() + 1.0
        while True:
            try:
                self.bus.ping(motor)
                return
            except BusTimeout:
                if self._clock() > deadline:
                    raise
                self._sleep(0.05)

    # --- motion -------------------------------------------------------------------------------------------------------
    def limit(self, angles_rad: ArrayLike) -> Array:
        """What ``command`` would really send: within each motor's range and rounded to ticks.

        Args:
            angles_rad: (n,) motor angles.

        Raises:
            ValueError: if the shape is wrong or a value is not finite.
        """
        angles = grasp.check(angles_rad, "angles_rad", len(self._ids))
        if angles.ndim != 1:
            raise ValueError(f"angles_rad: expected shape ({len(self._ids)},), got {angles.shape}")
        return self._angles(self._ticks(np.clip(angles, self._low, self._high)))

    def _ticks(self, angles: Array) -> NDArray[np.int64]:
        return np.rint(self._zero + self._sign * angles / RAD_PER_TICK).astype(np.int64)

    def _angles(self, ticks: ArrayLike) -> Array:
        return (np.asarray(ticks, dtype=np.float64) - self._zero) * RAD_PER_TICK * self._sign

    def command(self, angles_rad: ArrayLike) -> Array:
        """Sends goals to all motors at once and returns what was really sent (n,), without waiting.

        Raises:
            HandError: if the hand is not enabled, or a motor stands in alert.
        """
        sent = self.limit(angles_rad)
        if not self._enabled:
            raise HandError("the hand is not enabled: call enable(), or use the driver as a context manager")
        if self._alarm is not None:
            self.check()
        self.bus.sync_write("goal_position", dict(zip(self._ids, self._ticks(sent).tolist(), strict=True)))
        return sent

    def state(self) -> HandState:
        """Positions, velocities and currents of all motors, from one packet."""
        data = self.bus.sync_read(["current", "velocity", "position"], self._ids)
        rows = {name: np.array([values[i] for i in self._ids], dtype=np.float64) for name, values in data.items()}
        return HandState(
            self._angles(rows["position"]), rows["velocity"] * RAD_S_PER_UNIT * self._sign, rows["current"] * self._sign
        )

    def move(self, angles_rad: ArrayLike, *, timeout_s: float | None = None) -> MoveReport:
        """Sends goals and waits until every motor has arrived or stands still; then checks for alerts.

        Fingers that stop on an object are no error: they are listed as ``blocked`` and go on pressing with their
        current limit.

        Raises:
            HandError: if a motor is silent or stands in alert.
        """
        wished = grasp.check(angles_rad, "angles_rad", len(self._ids))
        sent = self.command(wished)
        deadline = self._clock() + (self.config.settle_timeout_s if timeout_s is None else timeout_s)
        still = 0
        last: Array | None = None
        while True:
            state = self.state()
            off = np.abs(state.position_rad - sent) > self.config.settle_tol_rad
            # Two unmoved readings in a row: the first may fall before the motors start.
            moved = last is None or bool(np.any(np.abs(state.position_rad - last) > RAD_PER_TICK))
            still, last = (0 if moved else still + 1), state.position_rad
            if not off.any() or still >= 5 or self._clock() > deadline:
                break
            self._sleep(0.01)
        self.check()
        names = tuple(name for name, stopped in zip(self.names, off, strict=True) if stopped)
        return MoveReport(wished, sent, state, not names, names)


class JointHand:
    """The hand in finger joints: sixteen angles in, what twelve motors really do out."""

    def __init__(self, hand: DynamixelHand, motor_map: MotorMap) -> None:
        """Joins a driver and its map.

        Raises:
            ValueError: if the map is for other motors, by name.
        """
        if set(hand.names) != set(motor_map.motor_names):
            raise ValueError(f"motor_map: made for motors {motor_map.motor_names}, the hand has {hand.names}")
        self.hand, self.map = hand, motor_map
        self._to_hand = [motor_map.motor_names.index(name) for name in hand.names]
        self._to_map = [hand.names.index(name) for name in motor_map.motor_names]

    def executable(self, joints_rad: ArrayLike) -> tuple[Array, Array]:
        """(motor angles (n,), joint angles (16,)) that a wish comes to, after map, ranges and ticks; sends nothing."""
        motors = self.hand.limit(self.map.invert(joints_rad)[self._to_hand])
        return motors, self.map.predict(motors[self._to_map])

    def move(self, joints_rad: ArrayLike, *, timeout_s: float | None = None) -> tuple[Array, MoveReport]:
        """Moves to the nearest pose that the motors can do.

        Returns:
            (16,) the joint angles that were really commanded, and the motors' report.
        """
        motors, joints = self.executable(joints_rad)
        return joints, self.hand.move(motors, timeout_s=timeout_s)

    def joints(self) -> Array:
        """(16,) joint angles that the map predicts from where the motors stand now."""
        return self.map.predict(self.hand.state().position_rad[self._to_map])

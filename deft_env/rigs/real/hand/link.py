"""The hand's motors as a whole: opening and configuring them, torque on and off, alerts in words, recovering.

Every way out of the program ends with torque off: the context manager, ``atexit``, SIGTERM and SIGHUP; should the
process be killed outright, the motors' own bus watchdog drops the current.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from deft_env.rigs.real.hand.config import (
    CURRENT_BASED_POSITION,
    RAD_S_PER_UNIT,
    WATCHDOG_UNIT_S,
    HandConfig,
    MotorConfig,
)
from deft_env.rigs.real.hand.dynamixel_bus import DynamixelBus
from deft_env.rigs.real.hand.dynamixel_registers import alert_words
from deft_env.rigs.real.hand.errors import BusDisconnected, BusTimeout, HandError, MotorAlert, WrongMotor
from deft_env.rigs.real.hand.exit import ExitGuard
from deft_env.rigs.real.hand.keep_alive import KeepAlive


class HandLink:
    """Motors on an open bus; see ``deft_env.rigs.real.hand.DynamixelHand``."""

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
        self._clock, self._sleep = clock, sleep
        self.bus = DynamixelBus(
            config.port, config.baud, names=dict(zip(self._ids, self.names, strict=True)), retries=config.retries,
            patience_s=config.patience_s,
        )  # fmt: skip
        self._exits = ExitGuard()
        self._keeper = KeepAlive(self._poll, config.watchdog_s / 4)
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
        self._exits.watch(self)
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
        self._keeper.stop()
        self.relax()
        self.bus.close()
        self._exits.release()

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

    # --- health -------------------------------------------------------------------------------------------------------
    def check(self) -> None:
        """Reads alerts and temperatures of all motors.

        Raises:
            MotorAlert: naming each motor, what is wrong, and what to do.
            BusTimeout: if a motor is silent.
        """
        self._keeper.raise_alarm()
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
        self._keeper.stop()  # what it saw is about to be mended; enable() starts it anew
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

"""One XC330-M288 behind its control table, and the pluggable world that turns its goals into positions.

Simplifications, stated openly: the firmware's PID, profile acceleration and PWM are not modelled (a world answers with
positions); switching torque on keeps an old goal, the harsher of what firmwares do; a tripped bus watchdog zeroes the
goal current and refuses goals until it is cleared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from deft_mocks.dynamixel_wire import ALERT, Error

TICKS_PER_REV: Final = 4096
RAD_PER_TICK: Final = 2 * np.pi / TICKS_PER_REV
RAD_S_PER_UNIT: Final = 0.229 * 2 * np.pi / 60
MODEL: Final = 1240
FIRMWARE: Final = 52
BAUD_CODES: Final = {0: 9600, 1: 57600, 2: 115200, 3: 1_000_000, 4: 2_000_000, 5: 3_000_000, 6: 4_000_000}
MODES: Final = (0, 1, 3, 4, 5, 16)
CURRENT_BASED_POSITION: Final = 5
EEPROM_END: Final = 64
TABLE_SIZE: Final = 256
OVERHEATING, OVERLOAD, ELECTRICAL, VOLTAGE = 0x04, 0x20, 0x10, 0x01


@dataclass(frozen=True, slots=True)
class Item:
    """An entry of the control table: address, bytes, value after power-on, allowed range, writable."""

    address: int
    size: int
    initial: int = 0
    low: int = 0
    high: int | None = None
    writable: bool = True
    signed: bool = False


ITEMS: Final[dict[str, Item]] = {
    "model": Item(0, 2, MODEL, writable=False),
    "model_info": Item(2, 4, writable=False),
    "firmware": Item(6, 1, FIRMWARE, writable=False),
    "id": Item(7, 1, 1, 0, 252),
    "baud": Item(8, 1, 1, 0, 6),
    "return_delay": Item(9, 1, 250, 0, 254),
    "drive_mode": Item(10, 1, 0, 0, 13),
    "mode": Item(11, 1, 3, 0, 16),
    "shadow": Item(12, 1, 255, 0, 255),
    "protocol": Item(13, 1, 2, 2, 22),
    "homing": Item(20, 4, 0, -1_044_479, 1_044_479, signed=True),
    "moving_threshold": Item(24, 4, 10, 0, 1023),
    "temperature_limit": Item(31, 1, 70, 0, 100),
    "voltage_max": Item(32, 2, 70, 31, 70),
    "voltage_min": Item(34, 2, 35, 31, 70),
    "pwm_limit": Item(36, 2, 885, 0, 885),
    "current_limit": Item(38, 2, 910, 0, 910),
    "velocity_limit": Item(44, 4, 383, 0, 2047),
    "position_max": Item(48, 4, 4095, 0, 4095),
    "position_min": Item(52, 4, 0, 0, 4095),
    "pwm_slope": Item(62, 1, 140, 1, 255),
    "shutdown": Item(63, 1, 0x35),
    "torque": Item(64, 1, 0, 0, 1),
    "led": Item(65, 1, 0, 0, 1),
    "status_level": Item(68, 1, 2, 0, 2),
    "registered": Item(69, 1, writable=False),
    "hardware_error": Item(70, 1, writable=False),
    "velocity_i": Item(76, 2, 1600, 0, 16383),
    "velocity_p": Item(78, 2, 180, 0, 16383),
    "position_d": Item(80, 2, 0, 0, 16383),
    "position_i": Item(82, 2, 0, 0, 16383),
    "position_p": Item(84, 2, 400, 0, 16383),
    "feedforward_2": Item(88, 2, 0, 0, 16383),
    "feedforward_1": Item(90, 2, 0, 0, 16383),
    "watchdog": Item(98, 1, 0, 0, 127, signed=True),
    "goal_pwm": Item(100, 2, 885, -885, 885, signed=True),
    "goal_current": Item(102, 2, 910, -910, 910, signed=True),
    "goal_velocity": Item(104, 4, 0, -2047, 2047, signed=True),
    "profile_acceleration": Item(108, 4, 0, 0, 32767),
    "profile_velocity": Item(112, 4, 0, 0, 32767),
    "goal_position": Item(116, 4, 2048, -1_048_575, 1_048_575, signed=True),
    "tick_ms": Item(120, 2, writable=False),
    "moving": Item(122, 1, writable=False),
    "moving_status": Item(123, 1, writable=False),
    "pwm": Item(124, 2, writable=False, signed=True),
    "current": Item(126, 2, writable=False, signed=True),
    "velocity": Item(128, 4, writable=False, signed=True),
    "position": Item(132, 4, 2048, writable=False, signed=True),
    "velocity_trajectory": Item(136, 4, writable=False),
    "position_trajectory": Item(140, 4, writable=False),
    "voltage": Item(144, 2, 50, writable=False),
    "temperature": Item(146, 1, 32, writable=False),
}


@dataclass(frozen=True, slots=True)
class MotorGoal:
    """What a motor asks of the world; ``position_rad`` is None while torque is off, 0 rad is tick 2048."""

    position_rad: float | None
    current_limit_ma: float
    speed_limit_rad_s: float


@dataclass(frozen=True, slots=True)
class MotorReading:
    """What the world answers for a motor."""

    position_rad: float
    velocity_rad_s: float = 0.0
    current_ma: float = 0.0


class MotorWorld(Protocol):
    """Anything that moves the fingers: put a physics model behind it for a dress rehearsal."""

    def step(self, goals: Mapping[int, MotorGoal], dt_s: float) -> Mapping[int, MotorReading]:
        """Advances by ``dt_s`` and returns a reading for every motor id in ``goals``."""


@dataclass(slots=True)
class SimpleWorld:
    """Moves every motor towards its goal at its speed limit; an obstacle stops it and draws its whole current.

    Attributes:
        obstacles_rad: motor id -> (low, high) rad between which the finger can move.
        idle_ma: current of a motor that holds nothing.
    """

    obstacles_rad: dict[int, tuple[float, float]] = field(default_factory=dict)
    idle_ma: float = 12.0
    positions_rad: dict[int, float] = field(default_factory=dict)

    def step(self, goals: Mapping[int, MotorGoal], dt_s: float) -> dict[int, MotorReading]:
        """See ``MotorWorld``; without torque a motor stays where it is."""
        out = {}
        for motor, goal in goals.items():
            here = self.positions_rad.get(motor, 0.0)
            target = here if goal.position_rad is None or goal.current_limit_ma <= 0 else goal.position_rad
            low, high = self.obstacles_rad.get(motor, (-np.inf, np.inf))
            reach = goal.speed_limit_rad_s * dt_s
            there = float(np.clip(np.clip(target, here - reach, here + reach), low, high))
            pressing = target - there if there in (low, high) else 0.0
            self.positions_rad[motor] = there
            current = np.sign(pressing) * goal.current_limit_ma if pressing else self.idle_ma * np.sign(there - here)
            speed = (there - here) / dt_s if dt_s > 0 else 0.0
            out[motor] = MotorReading(there, float(speed), float(current))
        return out


class MockMotor:
    """The control table of one motor and the rules for reading and writing it."""

    def __init__(self, motor: int, *, baud: int = 57600, model: int = MODEL) -> None:
        """Makes a motor as it leaves the factory, apart from id, model number and baud rate."""
        self.table = bytearray(TABLE_SIZE)
        self.goals_refused = 0
        for name, item in ITEMS.items():
            self.set(name, item.initial)
        self.set("id", motor)
        self.set("model", model)
        self.set("baud", next(code for code, rate in BAUD_CODES.items() if rate == baud))
        self.pending: tuple[int, bytes] | None = None

    @property
    def id(self) -> int:
        """The id it answers to."""
        return self.get("id")

    @property
    def baud(self) -> int:
        """The baud rate it listens at, bit/s."""
        return BAUD_CODES[self.get("baud")]

    @property
    def alert(self) -> int:
        """The alert bit that goes into every status packet while a hardware error stands."""
        return ALERT if self.get("hardware_error") else 0

    def get(self, name: str) -> int:
        """A value by name, signed where the register is."""
        item = ITEMS[name]
        return int.from_bytes(self.table[item.address : item.address + item.size], "little", signed=item.signed)

    def set(self, name: str, value: int) -> None:
        """Sets a value by name, without the checks of a write that came over the bus."""
        item = ITEMS[name]
        self.table[item.address : item.address + item.size] = int(value).to_bytes(
            item.size, "little", signed=item.signed
        )

    def read(self, address: int, size: int) -> tuple[Error, bytes]:
        """What a read of the bus gets."""
        if size <= 0 or address + size > TABLE_SIZE:
            return Error.RANGE, b""
        return Error.NONE, bytes(self.table[address : address + size])

    def write(self, address: int, data: bytes) -> Error:
        """What a write of the bus does; several neighbouring registers may be written at once, all or none."""
        writes: list[tuple[str, int]] = []
        at = address
        while at < address + len(data):
            name = next((n for n, i in ITEMS.items() if i.address == at), None)
            if name is None:
                return Error.ACCESS
            item = ITEMS[name]
            chunk = data[at - address : at - address + item.size]
            if len(chunk) < item.size:
                return Error.LENGTH
            value = int.from_bytes(chunk, "little", signed=item.signed)
            error = self._refuses(name, item, value)
            if error is not Error.NONE:
                return error
            writes.append((name, value))
            at += item.size
        for name, value in writes:
            self._apply(name, value)
        return Error.NONE

    def _refuses(self, name: str, item: Item, value: int) -> Error:
        if not item.writable or (item.address < EEPROM_END and self.get("torque")):
            return Error.ACCESS
        if name == "mode" and value not in MODES:
            return Error.RANGE
        if name == "watchdog" and value == -1:
            return Error.RANGE
        if item.high is not None and not item.low <= value <= item.high:
            return Error.LIMIT if item.address >= EEPROM_END else Error.RANGE
        if name.startswith("goal_") and self.get("watchdog") == -1:
            self.goals_refused += 1
            return Error.ACCESS
        if name == "goal_current" and abs(value) > self.get("current_limit"):
            return Error.LIMIT
        inside = self.get("position_min") <= value <= self.get("position_max")
        if name == "goal_position" and self.get("mode") == 3 and not inside:
            return Error.LIMIT
        if name == "torque" and value and self.get("hardware_error"):
            return Error.RESULT
        return Error.NONE

    def _apply(self, name: str, value: int) -> None:
        if name == "mode" and value != self.get("mode"):
            self.set("goal_current", self.get("current_limit"))
        self.set(name, value)

    def reboot(self) -> None:
        """Clears RAM and hardware errors; EEPROM and the shaft stay."""
        keep = {name: self.get(name) for name in ("position", "temperature", "voltage")}
        for name, item in ITEMS.items():
            if item.address >= EEPROM_END:
                self.set(name, item.initial)
        for name, value in keep.items():
            self.set(name, value)
        self.pending = None
        self.set("goal_current", self.get("current_limit"))
        self.trip_if_hot()

    def trip(self, bits: int) -> None:
        """A hardware error: sets the status bits and, where the shutdown register says so, drops the torque."""
        self.set("hardware_error", self.get("hardware_error") | bits)
        if bits & self.get("shutdown"):
            self.set("torque", 0)

    def trip_if_hot(self) -> None:
        """Overheating, when the temperature is above its limit."""
        if self.get("temperature") > self.get("temperature_limit"):
            self.trip(OVERHEATING)

    def trip_watchdog(self) -> None:
        """The bus fell silent: the motor goes limp and refuses goals until the register is cleared."""
        self.set("goal_current", 0)
        self.set("goal_pwm", 0)
        self.set("goal_velocity", 0)
        self.set("watchdog", -1)

    def goal(self) -> MotorGoal:
        """What the motor asks of the world now."""
        position = (self.get("goal_position") - TICKS_PER_REV // 2) * RAD_PER_TICK if self.get("torque") else None
        profile = self.get("profile_velocity")
        limit = self.get("velocity_limit")
        current = self.get("goal_current") if self.get("mode") == CURRENT_BASED_POSITION else self.get("current_limit")
        speed = (min(profile, limit) if profile else limit) * RAD_S_PER_UNIT
        return MotorGoal(position, float(abs(current)), speed)

    def take(self, reading: MotorReading, now_s: float) -> None:
        """Puts the world's answer into the table."""
        self.set("position", round(reading.position_rad / RAD_PER_TICK) + TICKS_PER_REV // 2)
        self.set("velocity", round(reading.velocity_rad_s / RAD_S_PER_UNIT))
        self.set("current", int(np.clip(round(reading.current_ma), -32768, 32767)))
        self.set("moving", int(abs(self.get("velocity")) > self.get("moving_threshold")))
        self.set("tick_ms", int(now_s * 1000) % 32768)

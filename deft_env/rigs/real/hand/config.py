"""Configuration of the soft hand: which motors, where, how far and how strong they may pull."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from deft_env import grasp

RAD_PER_TICK: Final = 2 * math.pi / 4096
RAD_S_PER_UNIT: Final = 0.229 * 2 * math.pi / 60
CURRENT_BASED_POSITION: Final = 5
WATCHDOG_UNIT_S: Final = 0.02
XC330_M288: Final = 1240


@dataclass(frozen=True, slots=True)
class MotorConfig:
    """One motor.

    Attributes:
        name: unique; for the paper's hand one of ``grasp.MOTOR_NAMES``.
        id: on the bus, 0 to 252.
        sign: +1 or -1, the direction in which ticks grow with the angle.
        zero_tick: position register at 0 rad.
        low_rad, high_rad: range that the driver never leaves.
        current_limit_ma: most current, hence most tendon force; XC330: about 1 mA a unit.
    """

    name: str
    id: int
    sign: int = 1
    zero_tick: int = 2048
    low_rad: float = -math.pi / 2
    high_rad: float = math.pi / 2
    current_limit_ma: int = 350

    def __post_init__(self) -> None:
        if not 0 <= self.id <= 252:
            raise ValueError(f"id of {self.name!r}: expected 0 to 252, got {self.id}")
        if self.sign not in (-1, 1):
            raise ValueError(f"sign of {self.name!r}: expected +1 or -1, got {self.sign}")
        if not self.low_rad < self.high_rad:
            raise ValueError(f"low_rad of {self.name!r}: expected less than high_rad, got {self.low_rad}")
        if not 0 < self.current_limit_ma <= 2352:
            raise ValueError(f"current_limit_ma of {self.name!r}: expected 1 to 2352, got {self.current_limit_ma}")


def default_motors() -> tuple[MotorConfig, ...]:
    """Twelve motors with ids 1 to 12 in the order of ``grasp.MOTOR_NAMES`` (assumed; the paper gives none)."""
    low, high = grasp.joints_to_motors(grasp.LOW[grasp.FINGERS]), grasp.joints_to_motors(grasp.HIGH[grasp.FINGERS])
    return tuple(
        MotorConfig(name, i + 1, low_rad=float(low[i]), high_rad=float(high[i]))
        for i, name in enumerate(grasp.MOTOR_NAMES)
    )


@dataclass(frozen=True, slots=True)
class HandConfig:
    """The hand on its bus.

    Attributes:
        port: serial port.
        baud: bit/s that the motors are set to.
        motors: see ``MotorConfig``; names and ids are unique.
        model_number: every motor must be of this model; None accepts any X-series motor.
        kp, ki, kd: position gains in register units (LEAP hand's published defaults).
        max_speed_rad_s: the motors' own profile velocity.
        max_temperature_c: a hotter motor stops the hand before it shuts itself down.
        retries: after a lost or damaged answer.
        patience_s: how much longer an answer may take than the SDK's own 34 ms; for slow adapters and busy machines.
        settle_tol_rad: how near the goal counts as arrived.
        settle_timeout_s: how long a move may take.
        watchdog_s: the motors drop their current after this much silence on the bus, 0 for never; at most 2.54 s.
        return_delay: register 9 in units of 2 us; 0 makes the bus fast.
    """

    port: str = "/dev/ttyUSB0"
    baud: int = 4_000_000
    motors: tuple[MotorConfig, ...] = field(default_factory=default_motors)
    model_number: int | None = XC330_M288
    kp: int = 600
    ki: int = 0
    kd: int = 200
    max_speed_rad_s: float = 3.0
    max_temperature_c: int = 60
    retries: int = 2
    patience_s: float = 0.0
    settle_tol_rad: float = 0.02
    settle_timeout_s: float = 2.0
    watchdog_s: float = 2.0
    return_delay: int = 0

    def __post_init__(self) -> None:
        for what, values in (("names", [m.name for m in self.motors]), ("ids", [m.id for m in self.motors])):
            if len(set(values)) != len(values) or not values:
                raise ValueError(f"motors: {what} must be unique and at least one, got {values}")
        if not 0 <= self.watchdog_s <= 127 * WATCHDOG_UNIT_S:
            raise ValueError(f"watchdog_s: expected 0 to {127 * WATCHDOG_UNIT_S}, got {self.watchdog_s}")
        if not 0 <= self.patience_s <= 1:
            raise ValueError(f"patience_s: expected 0 to 1 s, got {self.patience_s}")
        if self.max_speed_rad_s < RAD_S_PER_UNIT:
            raise ValueError(f"max_speed_rad_s: expected at least {RAD_S_PER_UNIT:.3f}, got {self.max_speed_rad_s}")

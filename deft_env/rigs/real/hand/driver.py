"""The soft hand on a Dynamixel bus: current-limited position control, alerts in words, limp on exit.

Bus size, ids, signs, zeros, ranges and limits are configuration: the paper does not publish the hand's motors. The
defaults assume twelve XC330-M288, three a finger. Angles here are MOTOR angles (rad at the motor's horn, 0 at its zero
tick); ``JointHand`` turns them into finger joints. Here is what moves; ``link`` has the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env import grasp
from deft_env.rigs.real.hand.config import RAD_PER_TICK, RAD_S_PER_UNIT, HandConfig
from deft_env.rigs.real.hand.errors import HandError
from deft_env.rigs.real.hand.link import HandLink

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


class DynamixelHand(HandLink):
    """The hand. ``with DynamixelHand(config) as hand: hand.move(angles)``; leaving the block drops the torque."""

    def __init__(
        self,
        config: HandConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepares the driver; ``clock`` and ``sleep`` may be replaced in tests."""
        super().__init__(config, clock=clock, sleep=sleep)
        self._sign = np.array([m.sign for m in config.motors], dtype=np.float64)
        self._zero = np.array([m.zero_tick for m in config.motors], dtype=np.float64)
        self._low = np.array([m.low_rad for m in config.motors])
        self._high = np.array([m.high_rad for m in config.motors])

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
        if self._keeper.alarm is not None:
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

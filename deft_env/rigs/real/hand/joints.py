"""The hand in finger joints: the driver of the motors and the motor map as one."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env.rigs.real.hand.driver import DynamixelHand, MoveReport
from deft_env.rigs.real.hand.motor_map import MotorMap

Array = NDArray[np.float64]


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

"""Plays a checked stream on the devices and takes the arm back the way it came, while a person may stop it."""

from __future__ import annotations

import contextlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deft_env.rigs.operator import Operator
from deft_env.rigs.real import rig_motion
from deft_env.rigs.real.arm.errors import ArmStopped
from deft_env.rigs.real.rig_devices import Devices
from deft_env.rigs.real.rig_motion import Stream
from deft_env.rigs.safety import Watchdog

Array = NDArray[np.float64]
_PARKED_RAD: Final = 0.02
"""The arm is parked when every joint is this near."""


class Player:
    """Moves the devices of one rig; what a device raises goes on to the caller.

    Attributes:
        operator: who may stop a motion.
        came_by: the way from which the arm has not gone back yet.
    """

    def __init__(self, devices: Devices, operator: Operator) -> None:
        """Moves nothing yet."""
        self.operator = operator
        self.came_by: Stream | None = None
        self._devices, self._settings = devices, devices.settings

    def park(self) -> None:
        """Back along the way it came by, hand open, up, and out of the camera's view."""
        d, came, motion = self._devices, self.came_by, self._settings.motion
        opened = d.motors(np.zeros(16))
        if came is not None:
            self.came_by = None
            down, closing = came.phases["trajectory"], came.phases["close"]
            self._stream(came.arm_rad[down[0] : down[1]][::-1], came.period_s)
            d.hand.move(d.motors(came.fingers_rad[0]))
            self._stream(came.arm_rad[: closing[0]][::-1], came.period_s)
        here, parked = d.arm.joints(), np.array(motion.parked_rad)
        away = float(np.abs(here - parked).max()) > _PARKED_RAD
        if away:
            d.go(rig_motion.risen(here, motion.clearance_m, self._settings.safety))
        d.hand.move(opened)
        if away:
            d.go(parked)

    def play(self, stream: Stream, nominal: Array, executed: Array) -> Array:
        """Moves; ``executed`` (22,) is overwritten by what was measured when the hand had closed.

        Returns:
            (n, 13) tick and measured motor angles, rad, in the hand's order.
        """
        d, motion = self._devices, self._settings.motion
        if self.operator.stopped:
            raise ArmStopped("execute", self.operator.stop_reason or "stopped by the operator")
        goals = d.motors(stream.fingers_rad)
        measure = stream.phases["hold"][1] - 1
        measured: list[Array] = []
        d.hand.move(goals[0])
        d.go(stream.above_rad)
        d.go(stream.arm_rad[0])

        def on_step(i: int) -> None:
            self._tick(dog)
            goal, before = goals[min(i + 1, len(goals) - 1)], goals[i]  # with the arm's next set point
            if i % motion.resend_ticks == 0 or not np.array_equal(goal, before):
                d.hand.command(goal)
                # Goals are not acknowledged; an answer to what was asked after them says that they arrived.
                measured.append(np.concatenate([[i], d.hand.state().position_rad]))
            if i == measure:
                with contextlib.suppress(ValueError):
                    executed[:] = rig_motion.measured_grasp(d.arm.joints(), d.fingers(goals[i]), nominal)

        with Watchdog(motion.watchdog_s, d.halt) as dog:
            d.servo(stream.arm_rad, stream.period_s, on_step)
        d.hand.check()
        return np.array(measured)

    def _stream(self, path: Array, period_s: float) -> None:
        with Watchdog(self._settings.motion.watchdog_s, self._devices.halt) as dog:
            self._devices.servo(path, period_s, lambda _: self._tick(dog))

    def _tick(self, dog: Watchdog) -> None:
        dog.feed()
        if self.operator.stopped:
            raise ArmStopped("stream", self.operator.stop_reason or "stopped by the operator")

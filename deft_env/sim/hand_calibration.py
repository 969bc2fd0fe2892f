"""The simulated hand's own calibration: which set points reach which angles in free air, against the joints' springs.

The real hand's counterpart is its learned motor map.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp
from deft_env.sim import robot

TENDON_PIP: Final = 1.0 / (1.0 + grasp.DIP_PER_PIP**2)
TENDON_DIP: Final = grasp.DIP_PER_PIP / (1.0 + grasp.DIP_PER_PIP**2)
"""Tendon length = TENDON_PIP * pip + TENDON_DIP * dip: the projection on the motor's line, in PIP radians."""


def _scale(motor: str) -> float:
    arm = {"side": 1.0, "forward": 1.0, "curl": TENDON_PIP}[motor]
    return 1.0 + robot.JOINT_STIFFNESS_NM_RAD / (robot.MOTOR_GAIN_NM_RAD[motor] * arm)


_SCALE: Final = np.array([_scale(name.rsplit("_", 1)[1]) for name in grasp.MOTOR_NAMES])


def motor_targets(motors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Motor angles (..., 12), rad -> actuator set points (..., 12), rad, that hold them in free air."""
    return motors * _SCALE

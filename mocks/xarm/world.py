"""What stands behind the control box: something with six joints that moves and may hit something."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env.rigs.real.arm import xarm_kinematics

Array = NDArray[np.float64]


@runtime_checkable
class ArmWorld(Protocol):
    """The six joints of an arm in some world; all calls come from the box's own thread, one at a time."""

    def get_joints(self) -> Array:
        """Measured joint angles (6,), rad."""

    def set_joint_targets(self, q_rad: Array) -> None:
        """Where the servos shall go: (6,), rad. Takes effect with the next steps."""

    def step(self, dt_s: float) -> None:
        """Lets ``dt_s`` seconds pass."""

    def collision(self, sensitivity: int) -> str | None:
        """What the arm pushes against harder than ``sensitivity`` (0 off … 5 light touch) allows; None if nothing."""


class KinematicWorld:
    """The default world: joints follow their targets at once up to a top speed; a flat table can be hit.

    No dynamics: no lag, no sag, no vibration. The table is touched by one probe point on the flange's axis.
    """

    def __init__(
        self,
        joints_rad: ArrayLike = (0.0, -0.3, -1.2, 0.0, 1.5, 0.0),
        *,
        top_speed_rad_s: float = 3.14,
        table_z_m: float | None = None,
        probe_m: float = 0.0,
    ) -> None:
        """A world with the arm standing at ``joints_rad``.

        Args:
            joints_rad: (6,), rad.
            top_speed_rad_s: how fast a joint can follow its target.
            table_z_m: height of a table that the probe collides with; None for free air.
            probe_m: distance of the probe from the flange along its axis, m.
        """
        self._q = np.array(joints_rad, dtype=np.float64)
        if self._q.shape != (xarm_kinematics.AXES,):
            raise ValueError(f"joints_rad: six angles expected, got shape {self._q.shape}")
        self._target = self._q.copy()
        self._top_speed = top_speed_rad_s
        self._table_z, self._probe = table_z_m, probe_m
        self._blocked = False
        self.steps = 0

    def get_joints(self) -> Array:
        """See ``ArmWorld``."""
        return self._q.copy()

    def set_joint_targets(self, q_rad: Array) -> None:
        """See ``ArmWorld``."""
        self._target = np.array(q_rad, dtype=np.float64)

    def step(self, dt_s: float) -> None:
        """See ``ArmWorld``; a step that would push the probe into the table is not made."""
        reach = self._top_speed * dt_s
        q = self._q + np.clip(self._target - self._q, -reach, reach)
        self._blocked = self._into_table(q)
        self._q = self._q if self._blocked else q
        self.steps += 1

    def _into_table(self, q: Array) -> bool:
        if self._table_z is None:
            return False
        before, after = (T[2, 3] + self._probe * T[2, 2] for T in map(xarm_kinematics.forward, (self._q, q)))
        return bool(after < self._table_z and after < before)

    def collision(self, sensitivity: int) -> str | None:
        """See ``ArmWorld``; any sensitivity but 0 feels the table."""
        return f"probe pressed on the table at {self._table_z} m" if self._blocked and sensitivity > 0 else None

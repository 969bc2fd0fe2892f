"""Recorded pairs of motor and finger angles as a file, so that a hand can be recorded in several takes.

One camera rarely sees the backs of the fingers and of the opposing thumb at once: each take adds its fingers' pairs and
replaces what earlier takes knew of them.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp
from deft_env.files import write_atomically

Array = NDArray[np.float64]
MAX_FILE_BYTES: Final = 5_000_000
MAX_PAIRS: Final = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class MotorPairs:
    """Pairs of a hand.

    Attributes:
        motors_rad: (N, 12) in the order of ``grasp.MOTOR_NAMES``.
        joints_rad: (N, 16) in the order of ``grasp.JOINT_NAMES``; NaN where a joint was not seen, or not looked for.
    """

    motors_rad: Array
    joints_rad: Array

    @classmethod
    def none(cls) -> Self:
        """No pairs yet."""
        return cls(np.zeros((0, 12)), np.zeros((0, 16)))

    def with_take(self, fingers: Sequence[str], motors_rad: Array, joints_rad: Array) -> MotorPairs:
        """These pairs, but what is known of ``fingers`` comes from a new take alone, and nothing else of that take."""
        mine = np.array([name.rsplit("_", 1)[0] in fingers for name in grasp.JOINT_NAMES])
        old, new = np.where(mine, np.nan, self.joints_rad), np.where(mine, joints_rad, np.nan)
        joints, motors = np.vstack([old, new]), np.vstack([self.motors_rad, motors_rad])
        kept = np.isfinite(joints).any(axis=1)
        return MotorPairs(motors[kept], joints[kept])

    def missing(self) -> tuple[str, ...]:
        """Fingers that no take has seen."""
        seen = np.asarray(np.isfinite(self.joints_rad).any(axis=0))
        joints = grasp.JOINTS_PER_FINGER
        return tuple(
            finger
            for finger in grasp.FINGER_NAMES
            if not any(seen[grasp.JOINT_NAMES.index(f"{finger}_{joint}")] for joint in joints)
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes an npz, first to a temporary name."""
        buffer = io.BytesIO()
        np.savez(buffer, motors_rad=self.motors_rad, joints_rad=self.joints_rad)
        write_atomically(path, buffer.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads what ``save`` wrote; the file is not trusted.

        Raises:
            ValueError: if it is too large or holds something else.
        """
        file = Path(path)
        try:
            if file.stat().st_size > MAX_FILE_BYTES:
                raise ValueError(f"expected below {MAX_FILE_BYTES} bytes, got {file.stat().st_size}")
            with zipfile.ZipFile(file) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > MAX_FILE_BYTES:
                    raise ValueError(f"expected below {MAX_FILE_BYTES} bytes unpacked")
            with np.load(file, allow_pickle=False) as data:
                motors, joints = (np.asarray(data[name], dtype=np.float64) for name in ("motors_rad", "joints_rad"))
            n = len(motors)
            if motors.shape != (n, 12) or joints.shape != (n, 16) or n > MAX_PAIRS or not np.isfinite(motors).all():
                raise ValueError(f"expected finite (N, 12) and (N, 16) arrays, got {motors.shape} and {joints.shape}")
            return cls(motors, joints)
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{file}: not a recording of motors and joints ({error}); delete it and record") from error

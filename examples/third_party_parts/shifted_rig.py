"""A rig in one file: the simulated one with a camera that was calibrated badly, so that every grasp lands aside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from deft_env import grasp
from deft_env.demonstration import Demonstration
from deft_env.episode import Outcome
from deft_env.rigs.simulated import SimulatedRig


class ShiftedRig(SimulatedRig):
    """Executes every grasp ``shift_m`` too far to the robot's left."""

    name = "shifted"

    def __init__(self, *, shift_m: float = 0.01) -> None:
        """Takes the error, m (``--rig-config shift_m=0.02``)."""
        super().__init__()
        self.shift_m = float(shift_m)

    def execute_batch(self, grasps: ArrayLike, demonstrations: Sequence[Demonstration]) -> list[Outcome]:
        """As the simulated rig, aside."""
        aside = np.array(grasp.check(grasps, "grasps"))
        aside[..., 1] += self.shift_m
        return super().execute_batch(aside, demonstrations)

"""What the landscape rig calls a task: objects, a stand-in demonstration, and a judge of the synthetic signals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deft_env.demonstration import Demonstration
from deft_env.episode import EpisodeKey
from deft_env.paper import TRAJECTORY_STEPS
from deft_env.registries import TASK_WORDS

Array = NDArray[np.float64]
LIFT_M: Final = 0.2
"""Lift of a perfect grasp; half of it is a success."""
BLOBS: Final = {
    "train": {"blob-red": -1.34, "blob-orange": -0.45, "blob-green": 0.45, "blob-blue": 1.34},
    "test": {"blob-yellow": -1.22, "blob-cyan": 0.0, "blob-violet": 1.22},
}
"""Objects of each split and the third coordinate of their descriptor (unit variance in each split)."""


class LandscapeTask:
    """A task of the landscape: a name, a stand-in demonstration, and a judge of the synthetic signals.

    Attributes:
        name: any task name.
        instruction: as of the real task of this name.
        demonstration: lifts by 20 cm; the landscape does not replay it.
        nominal_rotation: hand straight down.
        stand_in: True.
    """

    stand_in = True
    nominal_rotation = np.array([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])

    def __init__(self, name: str) -> None:
        """Makes the task of this name."""
        self.name = name
        self.instruction = TASK_WORDS[name].instruction if name in TASK_WORDS else name
        displacements = np.zeros((TRAJECTORY_STEPS, 6))
        displacements[:, 2] = LIFT_M / TRAJECTORY_STEPS
        self.demonstration = Demonstration(name, displacements, goal=str(EpisodeKey(name, "train", "reference", 0, 0)))

    def objects(self, split: str) -> tuple[str, ...]:
        """Names of the blobs of a split."""
        return tuple(BLOBS[split])

    def success(self, signals: Mapping[str, Array]) -> bool:
        """At the end the blob is lifted by half of what is possible."""
        return bool(signals["lift_m"][-1, 0] >= LIFT_M / 2)

    def score(self, signals: Mapping[str, Array]) -> float:
        """The final lift, as a share of what is possible."""
        return float(min(max(signals["lift_m"][-1, 0] / LIFT_M, 0.0), 1.0))

    def subgoals(self, signals: Mapping[str, Array]) -> dict[str, bool]:
        """Touched, lifted a little, lifted enough."""
        lift = float(signals["lift_m"][-1, 0])
        return {
            "the hand touches the blob": bool(signals["touch"].max() > 0.5),
            "the blob is lifted by 4 cm": lift >= LIFT_M / 5,
            "the blob is lifted by 10 cm": lift >= LIFT_M / 2,
        }

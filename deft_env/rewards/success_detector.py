"""A visual reward without a goal image: whether the instruction was done, by the pictures before and after."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deft_env import observation
from deft_env.episode import Outcome
from deft_env.registries import TaskLike, Weights
from deft_env.rewards.pictures import last_images
from deft_env.rewards.reward import Reward
from deft_env.rigs.rig import Frames


class SuccessDetectorReward(Reward):
    """Probability in [0, 1] by the small network of ``encoders.success_detector`` (our own, not in the paper).

    A stand-in: it has learned from synthetic people, not from film, and never from a robot, a judge or a reward.
    """

    name = "success-detector"
    stand_in = True

    def __init__(self, weights: Weights | None = None) -> None:
        """Reads ``weights["success-detector"]``, or the shipped weights."""
        from deft_env.encoders.success_detector import SuccessDetector

        self._detector = SuccessDetector(weights)

    def rate(self, before: Frames, outcomes: Sequence[Outcome], task: TaskLike) -> NDArray[np.float64]:
        """Rewards (N,) of completed outcomes, for the task's instruction.

        Raises:
            ValueError: if an outcome has no last picture.
        """
        after = last_images(before, outcomes, self.name)
        first = np.array([observation.image(frame) for frame in before[:]])
        return self._detector(first, after, task.instruction)

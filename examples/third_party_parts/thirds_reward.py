"""A reward in one file: the judge's score in thirds, as a person in a hurry would give it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deft_env.episode import Outcome
from deft_env.registries import TaskLike
from deft_env.rewards import Reward
from deft_env.rigs.rig import Frames


class Thirds(Reward):
    """0, 1/3, 2/3 or 1. ``range`` and ``higher_is_better`` are the defaults: [0, 1], and higher is better."""

    name = "thirds"

    def rate(self, before: Frames, outcomes: Sequence[Outcome], task: TaskLike) -> NDArray[np.float64]:
        """Rewards (N,) of completed episodes; failed, faulted and voided ones never come here."""
        return np.array([round(3 * (outcome.score or 0.0)) / 3 for outcome in outcomes])

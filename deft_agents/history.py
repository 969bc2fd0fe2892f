"""What happened so far: the told trials that policies are fitted to, and the choice of the elites among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp, paper
from deft_env.episode import Context, Status

Array = NDArray[np.float64]


def newest_first_order(rewards: Array, ages: Array) -> NDArray[np.intp]:
    """Indices from best to worst; equal rewards: the newer episode (the larger ``ages``) first (our choice)."""
    return np.lexsort((-ages, -rewards))


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """The told trials of an agent, oldest first: foreign ones in the order of telling, then own ones by id.

    Attributes:
        z: (n, 22) residuals in units of sigma.
        rewards: (n,) higher is better.
        numbers: (n,) trial ids; negative ones are foreign.
        statuses: (n,) completed or failed.
        contexts: (n,) what was known before each trial.
        reward_range: (low, high) of the reward.
    """

    z: Array = field(default_factory=lambda: np.zeros((0, grasp.DIM)))
    rewards: Array = field(default_factory=lambda: np.zeros(0))
    numbers: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    statuses: Sequence[Status] = ()
    contexts: Sequence[Context] = ()
    reward_range: tuple[float, float] = (0.0, 1.0)

    def __len__(self) -> int:
        return len(self.rewards)

    def ranking(self) -> NDArray[np.intp]:
        """Indices from best to worst, ties newest first."""
        return newest_first_order(self.rewards, np.arange(len(self), dtype=np.float64))

    def elites(self, count: int = paper.ELITES) -> NDArray[np.intp]:
        """Indices of the ``count`` best trials (fewer if there are fewer), best first (paper, Alg. 1: Omega)."""
        return self.ranking()[:count]

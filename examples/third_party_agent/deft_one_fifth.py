"""A (1+1) evolution strategy with the one-fifth success rule, as a search for deft."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deft_agents import Search
from deft_env.episode import Context

Array = NDArray[np.float64]


class OneFifth(Search):
    """Tries points around the best one; steps grow after a success and shrink after a failure."""

    def __init__(self, *, seed: int, budget: int, step: float = 0.5) -> None:
        """Makes the search; ``step`` is the first standard deviation, in units of sigma."""
        super().__init__(seed=seed, budget=budget)
        if not step > 0:
            raise ValueError(f"step: expected a positive number, got {step!r}")
        self.step = float(step)
        self._best = np.zeros(22)
        self._best_reward = -np.inf

    def ask(self, context: Context) -> Array:
        """The untouched prior first, then a point around the best one; (22,) in units of sigma."""
        noise = self.rng.standard_normal(22)  # drawn in any case: what is asked next depends on the count alone
        return self._best + self.step * noise if np.isfinite(self._best_reward) else np.zeros(22) + 0.1 * noise

    def tell(self, number: int, z: Array, reward: float, context: Context) -> None:
        """Moves to a point that is at least as good; a success is worth four failures."""
        better = reward >= self._best_reward
        if better:
            self._best, self._best_reward = z.copy(), reward
        if number >= 0:  # trials of others say nothing about this step
            self.step = float(np.clip(self.step * (1.5 if better else 1.5**-0.25), 0.05, 2.0))

    def recommend(self) -> Array:
        """The best point; the untouched prior before any result."""
        return self._best.copy()

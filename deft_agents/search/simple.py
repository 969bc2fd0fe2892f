"""Searches that do not learn: the yardsticks of every comparison."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri
from scipy.stats import qmc

from deft_agents.search.base import DIM, Array, Search, Told
from deft_env.episode import Context


class RandomSearch(Search):
    """Draws from the initial distribution N(0, sigma^2), as CEM's warm-up does, and recommends the best seen."""

    def __init__(self, *, seed: int, budget: int) -> None:
        """Makes the search; it has no options."""
        super().__init__(seed=seed, budget=budget)
        self._told = Told(budget)

    def ask(self, context: Context) -> Array:
        """The next draw."""
        return self.rng.standard_normal(DIM)

    def tell(self, number: int, z: Array, reward: float, context: Context) -> None:
        """Remembers the episode for the recommendation."""
        self._told.add(number, z, reward)

    def recommend(self) -> Array:
        """The best point so far (ties newest first), the untouched prior before any result."""
        if not self._told.n:
            return np.zeros(DIM)
        point: Array = self._told.z[self._told.best(1)[0]].copy()
        return point


class SobolSearch(RandomSearch):
    """A scrambled Sobol sequence through the normal quantile function: N(0, sigma^2), evenly spread."""

    def __init__(self, *, seed: int, budget: int) -> None:
        """Makes the search; it has no options."""
        super().__init__(seed=seed, budget=budget)
        self._engine = qmc.Sobol(DIM, scramble=True, rng=self.rng)

    def ask(self, context: Context) -> Array:
        """The next point of the sequence."""
        uniform = self._engine.random(1)[0]
        # A scrambled point can be exactly 0, whose quantile is infinite; the agent's box ends at 4 sigma anyway.
        z: Array = ndtri(np.clip(uniform, 1e-6, 1 - 1e-6))
        return z

"""CMA-ES by the library ``cma`` (pycma): full, and diagonal with mirrored sampling."""

from __future__ import annotations

from typing import Any

import cma
import numpy as np

from deft_agents.search.base import DIM, LIMIT, Array, PopulationSearch, check_positive
from deft_env.episode import Context


class PyCMA(PopulationSearch):
    """CMA-ES around the affordance prior; one generation is drawn at a time and handed out one by one.

    pycma draws from numpy's global generator unless it is given another one, so it gets ours. Foreign points are
    taken as injected solutions.
    """

    diagonal = False
    mirrored = False

    def __init__(self, *, seed: int, budget: int, popsize: int | None = None, sigma0: float = 1.0) -> None:
        """Makes the search.

        Args:
            seed: of the agent.
            budget: planned episodes; by default the population is its divisor nearest to ten.
            popsize: population size instead of that.
            sigma0: initial step-size, in units of sigma.
        """
        super().__init__(seed=seed, budget=budget, popsize=popsize)
        options: dict[str, Any] = {
            "randn": lambda *shape: self.rng.standard_normal(shape),
            "seed": float("nan"),
            "popsize": self.popsize,
            "verbose": -9,
            "verb_log": 0,
            "CMA_diagonal": self.diagonal,
            # Thirty episodes are no reason to stop; nobody asks pycma whether it wants to.
            "termination_callback": None,
        }
        self._strategy = cma.CMAEvolutionStrategy([0.0] * DIM, check_positive("sigma0", sigma0), options)
        self._queue: list[Array] = []
        self._drawn = False

    def ask(self, context: Context) -> Array:
        """The next member of the generation, or of one more generation when asks outrun tells."""
        if not self._queue:
            self._queue = self._generation()[::-1]
        return self._queue.pop()

    def _generation(self) -> list[Array]:
        self._drawn = True
        if not self.mirrored:
            return [np.asarray(x, dtype=np.float64) for x in self._strategy.ask()]
        # pycma's own mirroring draws from numpy's global generator; told as injected points, ours does the same.
        half = [np.asarray(x, dtype=np.float64) for x in self._strategy.ask((self.popsize + 1) // 2)]
        mean = np.asarray(self._strategy.mean, dtype=np.float64)
        return [point for x in half for point in (x, 2.0 * mean - x)][: self.popsize]

    def update(self, numbers: list[int], points: list[Array], rewards: list[float]) -> None:
        """One generation of CMA-ES on the negative rewards (it minimises)."""
        self._queue = []
        if not self._drawn:  # a generation of foreign points only: pycma insists on being asked first
            self._generation()
        self._drawn = False
        self._strategy.tell([point.copy() for point in points], [-reward for reward in rewards])

    def recommend(self) -> Array:
        """The mean of the distribution."""
        mean: Array = np.clip(np.asarray(self._strategy.mean, dtype=np.float64), -LIMIT, LIMIT)
        return mean


class MirroredCMA(PyCMA):
    """Diagonal covariance, and every draw also mirrored at the mean: two ways to make thirty episodes go further."""

    diagonal = True
    mirrored = True

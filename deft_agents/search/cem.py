"""The paper's search: a Gaussian refitted to the best episodes (paper, section 3.2, Algorithm 1)."""

from __future__ import annotations

import numpy as np

from deft_agents.search.base import DIM, Array, Search, Told, check_count, check_positive
from deft_env import paper
from deft_env.episode import Context


class CEM(Search):
    """Algorithm 1 to the letter: after ``warmup`` episodes, fit a Gaussian to the elites among ALL episodes, each time.

    The fit is per dimension (ten elites give a covariance of rank nine at most), with ddof 0 and a floor under sigma;
    ties go to the newer episode (our choices). The first refit follows episode 11 and keeps ten of eleven.
    """

    def __init__(
        self,
        *,
        seed: int,
        budget: int,
        warmup: int = paper.WARMUP_EPISODES,
        elites: int = paper.ELITES,
        floor: float = paper.SIGMA_FLOOR,
    ) -> None:
        """Makes the search.

        Args:
            seed: of the agent.
            budget: planned episodes; the algorithm does not depend on it.
            warmup: M, episodes from the initial distribution; a refit needs more results than that.
            elites: E, how many of the best episodes are fitted.
            floor: smallest standard deviation, in units of the initial one.
        """
        super().__init__(seed=seed, budget=budget)
        self.warmup = check_count("warmup", warmup, 0)
        self.elites = check_count("elites", elites, 1)
        self.floor = check_positive("floor", floor, zero=True)
        self._told = Told(budget)
        self._mean, self._sigma = np.zeros(DIM), np.ones(DIM)
        self._stale = False

    def ask(self, context: Context) -> Array:
        """A draw from the current Gaussian."""
        if self._stale:
            self._refit()
        z: Array = self._mean + self._sigma * self.rng.standard_normal(DIM)
        return z

    def tell(self, number: int, z: Array, reward: float, context: Context) -> None:
        """Remembers the episode; the refit waits until someone asks."""
        self._told.add(number, z, reward)
        self._stale = self._told.n > self.warmup

    def recommend(self) -> Array:
        """The mean of the distribution as it would be asked next."""
        if self._stale:
            self._refit()
        return self._mean.copy()

    def _refit(self) -> None:
        omega = self._told.z[self._told.best(self.elites)]
        count = len(omega)
        self._mean = np.add.reduce(omega, 0) / count
        spread = omega - self._mean
        self._sigma = np.maximum(np.sqrt(np.add.reduce(spread * spread, 0) / count), self.floor)
        self._stale = False


class LogRankCEM(Search):
    """``cem`` with what usually helps: log-rank elite weights, a higher floor, and the first refit one episode earlier.

    Source of the weights: the evolution-strategy default ln(E + 1/2) - ln(rank), normalised. Our variant, not the
    paper's.
    """

    def __init__(
        self,
        *,
        seed: int,
        budget: int,
        warmup: int = paper.WARMUP_EPISODES,
        elites: int = paper.ELITES,
        floor: float = 0.3,
    ) -> None:
        """Takes the options of ``CEM``; it refits from ``warmup`` results on and keeps at most half of them."""
        super().__init__(seed=seed, budget=budget)
        self.warmup = check_count("warmup", warmup, 1)
        self.elites = check_count("elites", elites, 1)
        self.floor = check_positive("floor", floor, zero=True)
        self._told = Told(budget)

    def _distribution(self) -> tuple[Array, Array]:
        told = self._told
        if told.n < self.warmup:
            return np.zeros(DIM), np.ones(DIM)
        # At n = warmup all results would be elites of equal standing but for the weights; half of them select.
        omega = told.z[told.best(self.elites)]
        weights = np.log(len(omega) + 0.5) - np.log(np.arange(1, len(omega) + 1))
        weights /= weights.sum()
        mean = np.add.reduce(omega * weights[:, None], 0)
        variance = np.add.reduce((omega - mean) ** 2 * weights[:, None], 0)
        return mean, np.maximum(np.sqrt(variance), self.floor)

    def ask(self, context: Context) -> Array:
        """A draw from the current Gaussian."""
        mean, sigma = self._distribution()
        z: Array = mean + sigma * self.rng.standard_normal(DIM)
        return z

    def tell(self, number: int, z: Array, reward: float, context: Context) -> None:
        """Remembers the episode."""
        self._told.add(number, z, reward)

    def recommend(self) -> Array:
        """The weighted mean of the elites."""
        return self._distribution()[0]

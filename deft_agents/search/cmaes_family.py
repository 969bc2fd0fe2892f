"""CMA-ES by the library ``cmaes``: separable, and warm-started from episodes of elsewhere."""

from __future__ import annotations

import cmaes
import numpy as np

from deft_agents.search.base import DIM, LIMIT, Array, PopulationSearch, check_positive
from deft_env.episode import Context

_BOUNDS = np.array([[-LIMIT, LIMIT]] * DIM)


class SepCMA(PopulationSearch):
    """CMA-ES with a diagonal covariance around the affordance prior."""

    learns_from_foreign = False

    def __init__(self, *, seed: int, budget: int, popsize: int | None = None, sigma0: float = 1.0) -> None:
        """Makes the search.

        Args:
            seed: of the agent.
            budget: planned episodes; by default the population is its divisor nearest to ten.
            popsize: population size instead of that, at least 5.
            sigma0: initial step-size, in units of sigma.
        """
        super().__init__(seed=seed, budget=budget, popsize=popsize)
        # The library's weights need a few members; a budget below that never completes a generation.
        self.popsize = max(self.popsize, 5)
        self._strategy: cmaes.SepCMA | cmaes.CMA = cmaes.SepCMA(
            mean=np.zeros(DIM),
            sigma=check_positive("sigma0", sigma0),
            bounds=_BOUNDS,
            seed=int(self.rng.integers(2**31)),
            population_size=self.popsize,
        )

    def ask(self, context: Context) -> Array:
        """A draw from the current distribution."""
        point: Array = self._strategy.ask()
        return point

    def update(self, numbers: list[int], points: list[Array], rewards: list[float]) -> None:
        """One generation of CMA-ES on the negative rewards (it minimises)."""
        self._strategy.tell([(point.copy(), -reward) for point, reward in zip(points, rewards, strict=True)])

    def recommend(self) -> Array:
        """The mean of the distribution."""
        return np.clip(self._strategy.mean, -LIMIT, LIMIT)


class WarmStartCMA(SepCMA):
    """Full CMA-ES whose first distribution is that of the best foreign episodes told before the first ask.

    Without foreign episodes it starts from the prior: its mean, and half a sigma, since a prior is roughly right.
    Foreign episodes that come later feed the policy only in effect: they are not used here.
    """

    learns_from_foreign = True

    def __init__(
        self,
        *,
        seed: int,
        budget: int,
        popsize: int | None = None,
        sigma0: float = 0.5,
        gamma: float = 0.3,
        alpha: float = 0.3,
    ) -> None:
        """Makes the search.

        Args:
            seed: of the agent.
            budget: planned episodes; by default the population is its divisor nearest to ten.
            popsize: population size instead of that, at least 5.
            sigma0: initial step-size when there are no foreign episodes.
            gamma: share of the foreign episodes, the best ones, that shape the start.
            alpha: width in sigma of the bump put on each of them.
        """
        super().__init__(seed=seed, budget=budget, popsize=popsize, sigma0=sigma0)
        self.sigma0, self.gamma, self.alpha = sigma0, check_positive("gamma", gamma), check_positive("alpha", alpha)
        if self.gamma > 1:
            raise ValueError(f"gamma: expected a share in (0, 1], got {gamma!r}")
        self._source: list[tuple[Array, float]] = []
        self._started = False

    def ask(self, context: Context) -> Array:
        """A draw from the current distribution; the first ask fixes the start."""
        if not self._started:
            self._start()
        return super().ask(context)

    def _start(self) -> None:
        self._started = True
        mean, sigma, covariance = np.zeros(DIM), self.sigma0, None
        if self._source:
            # At least three episodes, or the distribution of the best ones has no shape.
            share = min(1.0, max(self.gamma, 3.0 / len(self._source)))
            mean, sigma, covariance = cmaes.get_warm_start_mgd(self._source, gamma=share, alpha=self.alpha)
        self._strategy = cmaes.CMA(
            mean=np.clip(mean, -LIMIT, LIMIT),
            sigma=sigma,
            cov=covariance,
            bounds=_BOUNDS,
            seed=int(self.rng.integers(2**31)),
            population_size=self.popsize,
        )

    def tell(self, number: int, z: Array, reward: float, context: Context) -> None:
        """Own results go to the strategy; foreign ones before the first ask to the start."""
        if number >= 0:
            super().tell(number, z, reward, context)
        elif not self._started:
            self._source.append((z.copy(), -reward))

    def recommend(self) -> Array:
        """The mean of the distribution; before the first ask, what it would be."""
        if self._started or not self._source:
            return super().recommend()
        share = min(1.0, max(self.gamma, 3.0 / len(self._source)))
        mean, _, _ = cmaes.get_warm_start_mgd(self._source, gamma=share, alpha=self.alpha)
        return np.clip(mean, -LIMIT, LIMIT)

"""Stock Bayesian optimisation by BoTorch: ``bo:logei`` and ``bo:turbo``; about half a second an ask.

Yardsticks for ``gp``, which is another model. Both use BoTorch's default Gaussian process with its fitted
length-scales, in double precision, inside the box of plus and minus 4 sigma.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.fit import fit_gpytorch_mll
from botorch.generation import MaxPosteriorSampling
from botorch.models import SingleTaskGP
from botorch.models.transforms import Standardize
from botorch.optim import optimize_acqf
from gpytorch.mlls import ExactMarginalLogLikelihood

from deft_agents.search.base import DIM, LIMIT, Array, Search, Told, check_count
from deft_agents.search.isolation import OwnGlobals
from deft_env import paper
from deft_env.episode import Context


class LogEI(Search):
    """After a random warm-up, the maximiser of BoTorch's log noisy expected improvement."""

    def __init__(
        self, *, seed: int, budget: int, warmup: int = paper.WARMUP_EPISODES, restarts: int = 2, samples: int = 64
    ) -> None:
        """Makes the search.

        Args:
            seed: of the agent.
            budget: planned episodes.
            warmup: episodes from the initial distribution.
            restarts: of the optimisation of the acquisition.
            samples: raw points from which the restarts are chosen.
        """
        super().__init__(seed=seed, budget=budget)
        self.warmup = check_count("warmup", warmup, 1)
        self.restarts, self.samples = check_count("restarts", restarts), check_count("samples", samples)
        self._globals = OwnGlobals(int(self.rng.integers(2**31)), torch=True)
        self._told = Told(budget)

    def ask(self, context: Context) -> Array:
        """The next proposal."""
        if self._told.n < self.warmup:
            return self.rng.standard_normal(DIM)
        with self._globals.entered(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x, y, model = self._model()
            proposal = self._propose(x, y, model)
        z: Array = (2.0 * proposal.detach().numpy() - 1.0) * LIMIT
        return z

    def _model(self) -> tuple[torch.Tensor, torch.Tensor, SingleTaskGP]:
        told = self._told
        x = torch.from_numpy((told.z[: told.n] / LIMIT + 1.0) / 2.0)
        y = torch.from_numpy(told.rewards[: told.n].copy())[:, None]
        # Equal rewards have no scale to standardise by.
        transform = Standardize(m=1) if told.n > 1 and float(y.std()) > 1e-9 else None
        model = SingleTaskGP(x, y, outcome_transform=transform)
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        return x, y, model

    def _propose(self, x: torch.Tensor, y: torch.Tensor, model: SingleTaskGP) -> torch.Tensor:
        bounds = torch.tensor([[0.0] * DIM, [1.0] * DIM], dtype=torch.double)
        candidate, _ = optimize_acqf(
            qLogNoisyExpectedImprovement(model, x),
            bounds=bounds,
            q=1,
            num_restarts=self.restarts,
            raw_samples=self.samples,
            options={"maxiter": 60},
        )
        return candidate[0]

    def tell(self, number: int, z: Array, reward: float, context: Context) -> None:
        """Remembers the episode."""
        self._told.add(number, z, reward)

    def recommend(self) -> Array:
        """The best point so far (ties newest first), the untouched prior before any result."""
        if not self._told.n:
            return np.zeros(DIM)
        point: Array = self._told.z[self._told.best(1)[0]].copy()
        return point


class TuRBO(LogEI):
    """Trust-region Bayesian optimisation: Thompson sampling in a box that grows on success and shrinks on failure.

    Source: Eriksson et al., "Scalable Global Optimization via Local Bayesian Optimization" (2019), one region; its
    restarts need more episodes than there are. The tolerances fit a budget of thirty (our choice).
    """

    def __init__(
        self,
        *,
        seed: int,
        budget: int,
        warmup: int = paper.WARMUP_EPISODES,
        candidates: int = 1000,
        length: float = 0.4,
    ) -> None:
        """Makes the search.

        Args:
            seed: of the agent.
            budget: planned episodes.
            warmup: episodes from the initial distribution.
            candidates: points of the region among which a posterior sample is maximised.
            length: initial side of the region, as a share of the box.
        """
        super().__init__(seed=seed, budget=budget, warmup=warmup)
        self.candidates, self.length = check_count("candidates", candidates), float(length)
        if not 0.01 <= self.length <= 1.6:
            raise ValueError(f"length: expected a share of the box in [0.01, 1.6], got {length!r}")
        self._successes = self._failures = 0
        self._best = -np.inf

    def tell(self, number: int, z: Array, reward: float, context: Context) -> None:
        """Remembers the episode and resizes the region after the warm-up."""
        super().tell(number, z, reward, context)
        better = reward > self._best + 1e-3 * abs(self._best) if np.isfinite(self._best) else True
        self._best = max(self._best, reward)
        if self._told.n <= self.warmup:
            return
        self._successes, self._failures = (self._successes + 1, 0) if better else (0, self._failures + 1)
        if self._successes == 2:
            self.length, self._successes = min(2.0 * self.length, 1.6), 0
        elif self._failures == 4:
            self.length, self._failures = max(self.length / 2.0, 0.01), 0

    def _propose(self, x: torch.Tensor, y: torch.Tensor, model: SingleTaskGP) -> torch.Tensor:
        centre = x[int(self._told.best(1)[0])]
        scales = getattr(model.covar_module, "base_kernel", model.covar_module).lengthscale.squeeze().detach()
        weights = scales / scales.mean()
        weights = weights / torch.prod(weights.pow(1.0 / DIM))
        low = torch.clamp(centre - weights * self.length / 2.0, 0.0, 1.0)
        high = torch.clamp(centre + weights * self.length / 2.0, 0.0, 1.0)
        engine = torch.quasirandom.SobolEngine(DIM, scramble=True, seed=int(torch.randint(2**31, (1,))))
        points = low + (high - low) * engine.draw(self.candidates, dtype=torch.double)
        # Few coordinates at a time move: in many dimensions that keeps candidates close to the best point.
        mask = torch.rand(self.candidates, DIM, dtype=torch.double) <= min(20.0 / DIM, 1.0)
        chosen = torch.where(mask, points, centre)
        with torch.no_grad():
            sampler = MaxPosteriorSampling(model=model, replacement=False)
            return sampler(chosen, num_samples=1)[0]

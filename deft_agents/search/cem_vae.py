"""``cem-vae``: after the warm-up the conditional VAE proposes the residual (the thesis version of the method)."""

from __future__ import annotations

import numpy as np

from deft_agents.history import History
from deft_agents.policies.cvae import CVAE
from deft_agents.search.base import DIM, Array, Search, Told, check_count
from deft_env import grasp, paper
from deft_env.episode import Context, Status


class VAESearch(Search):
    """Algorithm 1 with another generator: fit the VAE of ``cvae`` to the elites after each episode and sample it."""

    def __init__(
        self,
        *,
        seed: int,
        budget: int,
        warmup: int = paper.WARMUP_EPISODES,
        elites: int = paper.ELITES,
        latent: int = paper.CVAE_LATENT,
        width: int = paper.CVAE_WIDTH,
        beta: float = paper.CVAE_BETA,
        steps: int = paper.POLICY_STEPS,
    ) -> None:
        """Takes the options of ``cem`` and of ``cvae``."""
        super().__init__(seed=seed, budget=budget)
        self.warmup = check_count("warmup", warmup, 0)
        self.elites = check_count("elites", elites)
        self._fitter = CVAE(seed=seed, elites=elites, latent=latent, width=width, beta=beta, steps=steps)
        self._fitter.name = "cvae"
        self._told = Told(budget)
        self._contexts: list[Context] = []

    def ask(self, context: Context) -> Array:
        """Warm-up: a draw of the initial distribution, as in ``cem``; then a draw of the VAE for this context."""
        if self._told.n <= self.warmup:
            return self.rng.standard_normal(DIM)
        told = self._told
        order = np.argsort(told.ages[: told.n], kind="stable")
        history = History(
            z=told.z[order],
            rewards=told.rewards[order],
            numbers=np.arange(told.n),
            statuses=(Status.COMPLETED,) * told.n,
            contexts=tuple(self._contexts[i] for i in order),
        )
        policy = self._fitter.fit(history, self)
        return policy([context], [self.rng])[0] / grasp.SIGMA

    def tell(self, number: int, z: Array, reward: float, context: Context) -> None:
        """Remembers the episode; the VAE is fitted when someone asks."""
        self._told.add(number, z, reward)
        self._contexts.append(context)

    def recommend(self) -> Array:
        """The mean of the elites: the VAE itself needs a context, which ``cem-vae+cvae`` gives it."""
        if not self._told.n:
            return np.zeros(DIM)
        mean: Array = self._told.z[self._told.best(self.elites)].mean(axis=0)
        return mean

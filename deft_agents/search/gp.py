"""``gp``: our own search; upper-confidence proposals of a Gaussian process with the structure of a grasp."""

from __future__ import annotations

import numpy as np

from deft_agents.search.base import DIM, LIMIT, Array, Search, Told, check_count, check_positive, clip
from deft_agents.search.gp_model import GPConfig, GroupedGP, climb
from deft_env.episode import Context

MAX_POINTS = 120
"""More results than this are thinned to the best half and the newest half: a fit stays within milliseconds."""


def starts(told: Told, extra: Array) -> Array:
    """Where gradient ascent begins: the untouched prior, the three best points, their mean, and ``extra`` points."""
    best = told.z[told.best(3)]
    return np.concatenate([np.zeros((1, DIM)), best, best.mean(axis=0, keepdims=True), 0.5 * best[:1], extra])


def model_of(told: Told, config: GPConfig) -> GroupedGP:
    """The model fitted to what was told."""
    if told.n <= MAX_POINTS:
        return GroupedGP(told.z[: told.n], told.rewards[: told.n], config)
    chosen = np.unique(np.concatenate([told.best(MAX_POINTS // 2), np.arange(told.n - MAX_POINTS // 2, told.n)]))
    return GroupedGP(told.z[chosen], told.rewards[chosen], config)


def with_pending(model: GroupedGP, told: Told, out: Array, config: GPConfig) -> GroupedGP:
    """The model fitted to what was told and to points (n, 22) still out, as if they had come out as it says."""
    believed = model.offset + model.scale * model.predict(out)[0]
    rewards = np.concatenate([told.rewards[: told.n], believed])
    return GroupedGP(np.concatenate([told.z[: told.n], out]), rewards, config)


class GP(Search):
    """After a short warm-up, proposes the maximiser of mean + beta deviations within a hard trust region.

    Attributes:
        config: what the model takes for granted.
    """

    config = GPConfig()

    def __init__(
        self,
        *,
        seed: int,
        budget: int,
        warmup: int = 5,
        beta: float = 2.0,
        radius: float = 4.0,
        box: float = 3.0,
        spread: float = 0.4,
    ) -> None:
        """Makes the search.

        Args:
            seed: of the agent.
            budget: planned episodes.
            warmup: results that it wants before it models, own or foreign; drawn from the initial distribution, shrunk.
            beta: how much uncertainty is sought.
            radius: of the trust region around the affordance prior, in units of sigma.
            box: half-width of the trust region in each dimension, in units of sigma.
            spread: standard deviation of the warm-up in units of sigma.
        """
        super().__init__(seed=seed, budget=budget)
        self.warmup = check_count("warmup", warmup, 1)
        self.beta = check_positive("beta", beta, zero=True)
        self.radius = check_positive("radius", radius)
        self.box = min(check_positive("box", box), LIMIT)
        self.spread = check_positive("spread", spread)
        self._told = Told(budget)
        self._pending: dict[int, Array] = {}
        self._asked = 0

    def ask(self, context: Context) -> Array:
        """The next proposal; points that are still out count as if they had come out as predicted."""
        number = self._asked
        self._asked += 1
        noise = self.rng.standard_normal((6, DIM))
        if self._told.n < self.warmup:
            z = self.spread * noise[0]
        else:
            model = model_of(self._told, self.config)
            if self._pending:
                model = with_pending(model, self._told, clip(np.array(list(self._pending.values()))), self.config)
            z = climb(model, starts(self._told, noise), self.beta, self.radius, self.box, 25)
        self._pending[number] = z
        return z

    def tell(self, number: int, z: Array, reward: float, context: Context) -> None:
        """Remembers the episode; the model is fitted when someone asks."""
        self._pending.pop(number, None)
        self._told.add(number, z, reward)

    def recommend(self) -> Array:
        """The maximiser of the posterior mean in the trust region; the untouched prior before any result."""
        return best_mean(self._told, self.config, self.radius, self.box)


def best_mean(told: Told, config: GPConfig, radius: float, box: float) -> Array:
    """The maximiser of the model's mean in the trust region, zero before any result."""
    if not told.n:
        return np.zeros(DIM)
    return climb(model_of(told, config), starts(told, np.zeros((0, DIM))), 0.0, radius, box, 60)

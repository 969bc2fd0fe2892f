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
        self._pending: dict[int, tuple[Array, Array]] = {}
        """Number -> the point that is still out, in units of sigma, and the prior's grasp that it is added to."""
        self._asked = 0

    def ask(self, context: Context) -> Array:
        """The next proposal; points that are still out count as if they had come out as predicted."""
        number = self._asked
        self._asked += 1
        draws = self.rng.standard_normal((6, DIM))
        z = self.spread * draws[0] if self._told.n < self.warmup else self.propose(draws, context)
        self._pending[number] = z, context.prior
        return z

    def propose(self, draws: Array, context: Context) -> Array:
        """The point (22,) with the best upper confidence; ``draws`` (n, 22) are where else the ascent begins."""
        model = model_of(self._told, self.config)
        if self._pending:
            model = with_pending(model, self._told, self.out()[0], self.config)
        return climb(model, starts(self._told, draws), self.beta, self.radius, self.box, 25)

    def out(self) -> tuple[Array, Array]:
        """Points (n, 22) that are still out, as they will be told, and the prior's grasps (n, 22) in their scenes."""
        points, priors = zip(*self._pending.values(), strict=True)
        return clip(np.array(points)), np.array(priors)

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

"""``gp-trained``: the ``gp`` search in coordinates free of the prior's own scatter, with settings learned across tasks.

A grasp is the prior's ξ plus a residual. Where ξ follows the scene (position and yaw of an object), the residual is
what generalises; where ξ varies only because the prior is noisy (height, roll, pitch and fingers, for things that
stand on a table), the grasp itself is, and an agent that sees ξ can undo the noise. Nobody tells which is which, but
the spread of ξ does: a coordinate that varies as much as the prior is known to be noisy is noise, one that varies much
more is scene. What is undone is the share that the best linear estimate of the noise has, ``noise² / var ξ``, at most
all. A gate keeps the plain residuals when the rewards speak against it. Our choice throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from deft_agents.search.base import DIM, Array, Told, check_positive
from deft_agents.search.gp import GP, model_of, starts, with_pending
from deft_agents.search.gp_model import GPConfig, GroupedGP, climb
from deft_env import grasp
from deft_env.episode import Context

PSEUDO_COUNT = 2.0
"""Contexts' worth of belief that a coordinate of the prior scatters by its noise alone."""
TRAINED = GPConfig(wrist=(2.0, 4.0, 8.0), fingers=(5.0, 10.0, 30.0), noise=(1.2,), drop=(1.0, 1.0, 0.2))
"""Settings that best predict the later episodes of stored runs of simulated tasks; see ``docs/agents.md``."""


@dataclass(frozen=True, slots=True, eq=False)
class Steadying:
    """How far the deviation of ξ from its mean is undone, by coordinate.

    Attributes:
        centre: (22,) mean ξ, in units of sigma.
        share: (22,) in [0, 1]: 0 leaves residuals as they are, 1 makes them offsets from the mean ξ.
    """

    centre: Array
    share: Array

    def shift(self, prior: Array) -> Array:
        """What is added to a residual (..., 22), in units of sigma, for the prior's grasp (..., 22) in m and rad."""
        moved: Array = self.share * (prior / grasp.SIGMA - self.centre)
        return moved


def steadying(priors: Array, noise: float) -> Steadying:
    """From grasps of the prior (n, 22) in m and rad, n >= 1, and the deviation of its noise in units of sigma."""
    xi = priors / grasp.SIGMA
    n = len(xi)
    variance = (n * xi.var(axis=0) + PSEUDO_COUNT * noise**2) / (n - 1 + PSEUDO_COUNT)
    return Steadying(xi.mean(axis=0), np.minimum(1.0, noise**2 / np.maximum(variance, 1e-12)))


def gated(told: Told, priors: Array, config: GPConfig, noise: float, doubt: float) -> tuple[GroupedGP, Told, Steadying]:
    """Model, points and coordinates in which the rewards are best explained.

    Args:
        told: points and rewards, at least one.
        priors: (n, 22) grasps of the prior, in m and rad, in the order of ``told``.
        config: of the model.
        noise: deviation of the prior's noise in units of sigma.
        doubt: by how much the log evidence must speak for the plain residuals before they are kept.

    Returns:
        The fitted model, the points it was fitted to, and how a point becomes a residual: minus the shift.
    """
    plain, steady = model_of(told, config), steadying(priors, noise)
    moved = Told(told.n)
    moved.n = told.n
    moved.z[: told.n] = told.z[: told.n] + steady.shift(priors)
    moved.rewards[: told.n] = told.rewards[: told.n]
    moved.ages[: told.n] = told.ages[: told.n]
    model = model_of(moved, config)
    if plain.evidence > model.evidence + doubt:
        return plain, told, Steadying(steady.centre, np.zeros(DIM))
    return model, moved, steady


class TrainedGP(GP):
    """Upper-confidence proposals in steadied coordinates, with settings that were learned across tasks."""

    config = TRAINED

    def __init__(self, *, seed: int, budget: int, noise: float = 0.5, doubt: float = 2.0, **options: Any) -> None:
        """Makes the search.

        Args:
            seed: of the agent.
            budget: planned episodes.
            noise: deviation of the prior's noise, in units of sigma.
            doubt: by how much the log evidence must speak for plain residuals before they are kept.
            **options: those of ``GP``; the trust region lies in steadied coordinates, around the mean of the prior's
                grasps.
        """
        super().__init__(seed=seed, budget=budget, **options)
        self.noise = check_positive("noise", noise)
        self.doubt = check_positive("doubt", doubt, zero=True)
        self._priors: list[Array] = []

    def propose(self, draws: Array, context: Context) -> Array:
        """The best point in steadied coordinates, as a residual in this context."""
        model, told, steady = gated(self._told, np.array(self._priors), self.config, self.noise, self.doubt)
        if self._pending:
            points, priors = self.out()
            model = with_pending(model, told, points + steady.shift(priors), self.config)
        point = climb(model, starts(told, draws), self.beta, self.radius, self.box, 25)
        return point - steady.shift(context.prior)

    def tell(self, number: int, z: Array, reward: float, context: Context) -> None:
        """Remembers the episode and the prior's grasp in it."""
        super().tell(number, z, reward, context)
        self._priors.append(context.prior)

    def recommend(self) -> Array:
        """The optimum for the mean of the prior's grasps; the policy ``argmax-trained`` fits it to each scene's."""
        if not self._told.n:
            return np.zeros(DIM)
        priors = np.array(self._priors)
        return steady_best(self._told, priors, self.config, self.radius, self.box, self.noise, self.doubt)[0]


def steady_best(
    told: Told,
    priors: Array,
    config: GPConfig,
    radius: float,
    box: float,
    noise: float = 0.5,
    doubt: float = 2.0,
) -> tuple[Array, Steadying]:
    """The maximiser (22,) of the gated model's mean in the trust region, and its coordinates; needs one result."""
    model, points, steady = gated(told, priors, config, noise, doubt)
    return climb(model, starts(points, np.zeros((0, DIM))), 0.0, radius, box, 60), steady

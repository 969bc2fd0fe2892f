"""``gp-transfer``: ``gp-trained`` with a prior mean learned from the episodes of earlier tasks, behind a gate.

Where a task's optimum lies is its own affair, but a part of it is shared: how a hand of this kind and a prior of this
kind fail. That part is regressed on all earlier tasks at once, each weighing the same, as a quadratic of position and
wrist: a few numbers instead of episodes, taken at half their size. The gate compares evidences: with the trend, or
without, whatever explains the task's own rewards better, anew at every ask. Our choice throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from deft_agents.search.base import DIM, Array
from deft_agents.search.gp_context import TRAINED, ContextGP, steadying
from deft_agents.search.gp_model import GPConfig, trend_features

FEATURES = len(trend_features(np.zeros(DIM)))
RIDGE = 0.1
"""Ridge of the regression, against features and rewards of unit size."""
SIZE = 0.5
"""How much of the trend is believed, and of the prior mean of its own kept beside it."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Episodes of one earlier task.

    Attributes:
        z: (n, 22) residuals in units of sigma.
        priors: (n, 22) the prior's grasps, in m and rad.
        rewards: (n,) what they were told.
    """

    z: Array
    priors: Array
    rewards: Array


def learn_trend(sources: Sequence[Source], noise: float = 0.5) -> tuple[float, ...]:
    """The trend of earlier tasks, each weighing the same, for the option ``trend``.

    Raises:
        ValueError: if there is no source, or the rewards of one are all the same.
    """
    if not sources:
        raise ValueError("sources: expected the episodes of at least one task, got none")
    gram, moment = np.zeros((FEATURES, FEATURES)), np.zeros(FEATURES)
    for i, source in enumerate(sources):
        deviation = float(source.rewards.std())
        if deviation == 0.0:
            raise ValueError(f"sources: the rewards of source {i} are all the same; leave it out")
        features = trend_features(source.z + steadying(source.priors, noise).shift(source.priors))
        features = features - features.mean(axis=0)
        gram += features.T @ features / len(features) / len(sources)
        moment += features.T @ (source.rewards - source.rewards.mean()) / deviation / len(features) / len(sources)
    return tuple(float(x) for x in np.linalg.solve(gram + RIDGE * np.eye(FEATURES), moment))


def with_trend(trend: Sequence[float]) -> tuple[GPConfig, ...]:
    """The settings that the gate chooses from: without the trend and, if there is one, with it.

    Raises:
        ValueError: if the trend has another length than ``learn_trend`` gives, or is not finite.
    """
    numbers = tuple(float(x) for x in trend)
    if not numbers:
        return (TRAINED,)
    if len(numbers) != FEATURES or not np.isfinite(numbers).all():
        raise ValueError(f"trend: expected {FEATURES} finite numbers, as learn_trend gives them, got {list(trend)!r}")
    drop = (SIZE * TRAINED.drop[0], SIZE * TRAINED.drop[1], SIZE * TRAINED.drop[2])
    return TRAINED, replace(TRAINED, drop=drop, trend=tuple(SIZE * x for x in numbers))


class TransferGP(ContextGP):
    """Upper-confidence proposals that begin with what earlier tasks have in common: see the module."""

    def __init__(
        self,
        *,
        seed: int,
        budget: int,
        trend: Sequence[float] = (),
        warmup: int = 5,
        beta: float = 2.0,
        radius: float = 4.0,
        box: float = 3.0,
        spread: float = 0.4,
        noise: float = 0.5,
        doubt: float = 2.0,
    ) -> None:
        """Makes the search.

        Args:
            seed: of the agent.
            budget: planned episodes.
            trend: what ``learn_trend`` gave for earlier tasks; without it this is ``gp-trained``.
            warmup: see ``GP``.
            beta: see ``GP``.
            radius: see ``ContextGP``.
            box: see ``ContextGP``.
            spread: see ``GP``.
            noise: see ``ContextGP``.
            doubt: see ``ContextGP``.
        """
        options = {"beta": beta, "radius": radius, "box": box, "spread": spread, "noise": noise, "doubt": doubt}
        super().__init__(seed=seed, budget=budget, warmup=warmup, **options)
        self.configs = with_trend(trend)

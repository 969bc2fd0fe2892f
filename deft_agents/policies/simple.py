"""Policies that are one residual: the search's own recommendation, the best episode, the mean of the elites."""

from __future__ import annotations

import numpy as np

from deft_agents.history import History
from deft_agents.policies.base import ConstantPolicy, PolicyFitter
from deft_agents.search.base import Search, check_count
from deft_env import grasp, paper


class Recommend(PolicyFitter):
    """What the search itself would use: CEM's mean, CMA's mean, a library's recommendation."""

    def fit(self, history: History, search: Search) -> ConstantPolicy:
        """The search's recommendation now."""
        return ConstantPolicy(self.name, search.recommend())


class BestSeen(PolicyFitter):
    """The residual of the episode with the highest reward; ties go to the newest."""

    def fit(self, history: History, search: Search) -> ConstantPolicy:
        """The best residual, zero before any episode."""
        best = history.elites(1)
        return ConstantPolicy(self.name, history.z[best[0]] if len(best) else np.zeros(grasp.DIM))


class EliteMean(PolicyFitter):
    """The mean of the residuals of the best episodes: the paper's cVAE without anything learned."""

    def __init__(self, *, seed: int, elites: int = paper.ELITES) -> None:
        """Takes the number of episodes that are averaged."""
        super().__init__(seed=seed)
        self.elites = check_count("elites", elites)

    def fit(self, history: History, search: Search) -> ConstantPolicy:
        """The mean of the elites, zero before any episode."""
        omega = history.z[history.elites(self.elites)]
        return ConstantPolicy(self.name, np.add.reduce(omega, 0) / len(omega) if len(omega) else np.zeros(grasp.DIM))

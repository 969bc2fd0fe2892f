"""``argmax``: the optimum of the Gaussian process's mean, fitted to the episodes of ANY search."""

from __future__ import annotations

from deft_agents.history import History
from deft_agents.policies.base import ConstantPolicy, PolicyFitter
from deft_agents.search.base import LIMIT, Search, Told, check_positive
from deft_agents.search.gp import best_mean
from deft_agents.search.gp_model import GPConfig


class Argmax(PolicyFitter):
    """Where the model of ``deft_agents.search.gp_model`` expects the highest reward, within the trust region."""

    def __init__(self, *, seed: int, radius: float = 4.0, box: float = 3.0) -> None:
        """Takes the trust region: a ball and a box around the affordance prior, in units of sigma."""
        super().__init__(seed=seed)
        self.radius = check_positive("radius", radius)
        self.box = min(check_positive("box", box), LIMIT)

    def fit(self, history: History, search: Search) -> ConstantPolicy:
        """The maximiser of the posterior mean, zero before any episode."""
        told = Told(len(history))
        for number, (z, reward) in enumerate(zip(history.z, history.rewards, strict=True)):
            told.add(number, z, float(reward))
        return ConstantPolicy(self.name, best_mean(told, GPConfig(), self.radius, self.box))

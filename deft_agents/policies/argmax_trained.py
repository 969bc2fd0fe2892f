"""``argmax-trained``: the optimum of the Gaussian process's mean, the prior's scatter undone scene by scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from deft_agents.agent import Policy
from deft_agents.history import History
from deft_agents.policies.base import Array, PolicyFitter, check_array, check_batch
from deft_agents.search.base import LIMIT, Search, Told, check_positive, clip
from deft_agents.search.gp_trained import TRAINED, Steadying, steady_best
from deft_env import grasp
from deft_env.episode import Context


class SteadyPolicy(Policy):
    """One point in steadied coordinates, turned into the residual of each scene."""

    def __init__(self, name: str, z: ArrayLike, steady: Steadying) -> None:
        """Takes the point in units of sigma and its coordinates."""
        self.name, self.steady = name, steady
        self.z = np.array(grasp.check(z, "z"))
        for array in (self.z, steady.centre, steady.share):
            array.setflags(write=False)

    def __call__(self, contexts: Sequence[Context], generators: Sequence[np.random.Generator]) -> Array:
        """The residuals, within the limit of four sigma."""
        check_batch(contexts, generators)
        priors = np.array([context.prior for context in contexts]).reshape(-1, grasp.DIM)
        return clip(self.z - self.steady.shift(priors)) * grasp.SIGMA

    def state_dict(self) -> dict[str, Any]:
        """The point and its coordinates, in units of sigma."""
        arrays = {"z": self.z.copy(), "centre": self.steady.centre.copy(), "share": self.steady.share.copy()}
        return {"name": self.name, "kind": "steady", **arrays}


class ArgmaxTrained(PolicyFitter):
    """``argmax`` in the coordinates of ``deft_agents.search.gp_trained``, fitted to any search's episodes."""

    def __init__(
        self, *, seed: int, radius: float = 4.0, box: float = 3.0, noise: float = 0.5, doubt: float = 2.0
    ) -> None:
        """Takes the trust region and, in units of sigma, the deviation of the prior's noise; see ``TrainedGP``."""
        super().__init__(seed=seed)
        self.radius = check_positive("radius", radius)
        self.box = min(check_positive("box", box), LIMIT)
        self.noise = check_positive("noise", noise)
        self.doubt = check_positive("doubt", doubt, zero=True)

    def fit(self, history: History, search: Search) -> SteadyPolicy:
        """The maximiser of the gated model's mean; the untouched prior before any episode."""
        if not len(history):
            nothing = np.zeros(grasp.DIM)
            return SteadyPolicy(self.name, nothing, Steadying(nothing.copy(), nothing.copy()))
        told = Told(len(history))
        for number, (z, reward) in enumerate(zip(history.z, history.rewards, strict=True)):
            told.add(number, z, float(reward))
        priors = np.array([context.prior for context in history.contexts])
        z, steady = steady_best(told, priors, TRAINED, self.radius, self.box, self.noise, self.doubt)
        return SteadyPolicy(self.name, z, steady)

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> SteadyPolicy:
        """Rebuilds a policy from its ``state_dict``; raises ValueError if something is missing or misshapen."""
        z, centre, share = (check_array(state, key, (grasp.DIM,)) for key in ("z", "centre", "share"))
        if state.get("kind") != "steady":
            raise ValueError(f"policy state: expected kind 'steady', got {state.get('kind')!r}")
        return SteadyPolicy(str(state["name"]), z, Steadying(centre, share))

"""``gp-anchored``: the ``gp`` search that tries the untouched prior first, so as not to leave one that is right."""

from __future__ import annotations

from typing import Any

import numpy as np

from deft_agents.search.base import DIM, Array, check_count
from deft_agents.search.gp import GP
from deft_env.episode import Context


class AnchoredGP(GP):
    """Spends its first episodes on the prior's own grasp; the model then knows what there is to lose.

    From a prior that succeeds nearly always, searches that draw around it find out too late, if at all, that nothing
    was to be gained: their best episode is one of many that scored alike (our own, not in the paper).
    """

    def __init__(self, *, seed: int, budget: int, anchors: int = 3, **options: Any) -> None:
        """Takes the options of ``gp``.

        Args:
            seed: of the agent.
            budget: planned episodes.
            anchors: how many of the first proposals are the zero residual.
            **options: of ``GP``.
        """
        super().__init__(seed=seed, budget=budget, **options)
        self.anchors = check_count("anchors", anchors, 0)

    def ask(self, context: Context) -> Array:
        """The zero residual at first, then what ``gp`` proposes."""
        number, z = self._asked, super().ask(context)
        if number < self.anchors:
            z = np.zeros(DIM)
            self._pending[number] = z, context.prior
        return z

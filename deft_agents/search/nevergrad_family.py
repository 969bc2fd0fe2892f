"""Any optimizer of nevergrad as ``ng:NAME``.

Listed by name are only optimizers that are really different at 22 dimensions and 30 episodes: many of nevergrad's names
ask exactly the same points there (``deft_agents.duplicates`` finds that out), or recommend the untouched prior.
"""

from __future__ import annotations

import difflib
import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import nevergrad
import numpy as np
from nevergrad.common.errors import NevergradWarning, TellNotAskedNotSupportedError

from deft_agents.registry import searches
from deft_agents.search.base import DIM, LIMIT, Array, Search
from deft_agents.search.isolation import OwnGlobals
from deft_env.episode import Context

# They tell developers of nevergrad about sub-optimal settings; to a user who chose an optimizer they are noise.
warnings.filterwarnings("ignore", category=NevergradWarning)

_SEEDED_GLOBALLY: Final = ("QODE",)
"""Listed optimizers that seed a part of themselves from numpy's global generator, at the first ask and never again."""


class Nevergrad(Search):
    """One optimizer of nevergrad, told the negative reward of its own candidates and, where it can, of foreign ones.

    An optimizer that is not listed may deadlock when it is asked twice without being told: while a candidate of such a
    one is out, further asks are draws of the initial distribution, told as foreign points where that is possible.

    The space is unbounded for the library, in units of sigma; what lies outside the box is clipped by the agent.
    """

    def __init__(self, *, seed: int, budget: int, variant: str) -> None:
        """Makes the search.

        Args:
            seed: of the agent.
            budget: planned episodes; many of the optimizers choose by it what they do.
            variant: nevergrad's name of the optimizer.

        Raises:
            ValueError: if nevergrad has no such optimizer, or it needs a library that is not installed.
        """
        super().__init__(seed=seed, budget=budget)
        known = nevergrad.optimizers.registry
        if variant not in known:
            near = difflib.get_close_matches(variant, list(known), n=3)
            raise ValueError(f"agent: nevergrad has no optimizer {variant!r}; near: {', '.join(near) or 'none'}")
        self._globals = OwnGlobals(int(self.rng.integers(2**31)))
        self._candidates: dict[int, Any] = {}
        self._asked = 0
        listed = f"ng:{variant}" in searches.names()
        self._one_at_a_time = not listed
        self._apart = not listed or variant in _SEEDED_GLOBALLY
        self._apart_for_good = not listed
        try:
            with self._globals.entered():
                self._optimizer = self._make(variant)
                self.learns_from_foreign = self._takes_foreign(variant)
        except ImportError as error:
            raise ValueError(
                f"agent: nevergrad's {variant!r} needs a library that is not installed: {error}"
            ) from error

    def _make(self, variant: str) -> Any:
        space = nevergrad.p.Array(shape=(DIM,))
        space.random_state = np.random.RandomState(int(np.random.randint(2**31)))  # noqa: NPY002 - our own world
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Some scale themselves by log(budget) and refuse a budget of one.
            return nevergrad.optimizers.registry[variant](
                parametrization=space, budget=max(self.budget, 2), num_workers=1
            )

    def _takes_foreign(self, variant: str) -> bool:
        """Tries it on an optimizer that is thrown away."""
        scratch = self._make(variant)
        try:
            scratch.tell(scratch.parametrization.spawn_child(new_value=np.zeros(DIM)), 0.0)
        except (TellNotAskedNotSupportedError, NotImplementedError):
            return False
        return True

    def _world(self) -> AbstractContextManager[None]:
        # The listed ones draw from the generator that they were given alone (after the first ask), and the contract
        # suite holds them to it; swapping the global generators would cost more than most of them do.
        return self._globals.entered() if self._apart else nullcontext()

    def ask(self, context: Context) -> Array:
        """The optimizer's next candidate (or a stand-by draw, see the class)."""
        number = self._asked
        self._asked += 1
        if self._one_at_a_time and self._candidates:
            return self.rng.standard_normal(DIM)
        with self._world():
            candidate = self._optimizer.ask()
        self._apart = self._apart_for_good
        self._candidates[number] = candidate
        return _usable(candidate.value)

    def tell(self, number: int, z: Array, reward: float, context: Context) -> None:
        """Tells the candidate that was asked, or a child of the start at a foreign point."""
        with self._world():
            if number in self._candidates:
                candidate = self._candidates.pop(number)
            elif not self.learns_from_foreign:
                return
            else:
                candidate = self._optimizer.parametrization.spawn_child(new_value=z.copy())
            self._optimizer.tell(candidate, -reward)

    def recommend(self) -> Array:
        """The library's recommendation; the untouched prior before any result."""
        if not self._optimizer.num_tell:
            return np.zeros(DIM)
        before = self._globals.snapshot()
        with self._world():
            value = self._optimizer.recommend().value
        self._globals.restore(before)
        return np.clip(_usable(value), -LIMIT, LIMIT)


def _usable(value: Any) -> Array:
    """A point without NaN and infinities: some optimizers run away to infinity on flat rewards."""
    z: Array = np.asarray(value, dtype=np.float64)
    # nan_to_num alone costs as much as an ask of the cheapest optimizers.
    return z if np.isfinite(z).all() else np.nan_to_num(z, nan=0.0, posinf=LIMIT, neginf=-LIMIT)

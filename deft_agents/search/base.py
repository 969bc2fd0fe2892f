"""What a search is: asked for a point in units of sigma, told its reward, maximising.

A search never sees metres, ids that were told twice, or rewards out of range: the agent around it
(``deft_agents.compose``) refuses those before they get here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp, paper
from deft_env.episode import Context, agent_generator

Array = NDArray[np.float64]

DIM: Final = grasp.DIM
LIMIT: Final = paper.RESIDUAL_LIMIT_SIGMA
"""Half-width of the box of every search, in units of sigma."""


def clip(z: Array) -> Array:
    """The nearest point of the box of plus and minus four sigma."""
    clipped: Array = np.minimum(np.maximum(z, -LIMIT), LIMIT)
    return clipped


def check_count(name: str, value: object, low: int = 1) -> int:
    """Returns ``value`` if it is an integer of at least ``low``.

    Raises:
        ValueError: otherwise; the message names the argument and what came.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
        raise ValueError(f"{name}: expected an integer >= {low}, got {value!r}")
    return int(value)


def check_positive(name: str, value: object, *, zero: bool = False) -> float:
    """Returns ``value`` as a float if it is a finite positive number (or zero, where allowed).

    Raises:
        ValueError: otherwise; the message names the argument and what came.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ValueError(f"{name}: expected a number, got {value!r}")
    number = float(value)
    if not np.isfinite(number) or number < 0 or (number == 0 and not zero):
        raise ValueError(f"{name}: expected a finite number {'>=' if zero else '>'} 0, got {value!r}")
    return number


class Search(ABC):
    """Proposes points (22,) in units of sigma inside the box, and learns from rewards (higher is better).

    Subclasses take ``seed`` and ``budget`` and their own options as keyword-only arguments, call ``super().__init__``,
    and are deterministic: the same calls in the same order give the same points, whatever else runs in the process.

    Attributes:
        name: registry name, set by the one who makes the search.
        learns_from_foreign: whether ``tell`` may be called with points that this search did not propose.
        rng: the generator of this seed; every search gets the same stream (common random numbers).
    """

    name: str = ""
    learns_from_foreign: bool = True

    def __init__(self, *, seed: int, budget: int) -> None:
        """Makes a search for about ``budget`` episodes; it may be asked for more."""
        self.seed = check_count("seed", seed, 0)
        self.budget = check_count("budget", budget)
        self.rng = agent_generator(self.seed, "search")

    @abstractmethod
    def ask(self, context: Context) -> Array:
        """The next point, (22,) in units of sigma. Asks may outrun tells; the agent clips the result to the box."""

    @abstractmethod
    def tell(self, number: int, z: Array, reward: float, context: Context) -> None:
        """One result, in any order, once each.

        Args:
            number: 0, 1, 2, … for the search's own asks; negative for foreign points.
            z: (22,) the point in units of sigma, as asked (after clipping).
            reward: higher is better, within the agent's reward range; a failed trial has the lowest reward.
            context: what was known before the episode.
        """

    @abstractmethod
    def recommend(self) -> Array:
        """The point (22,) that the search would use at the end; changes nothing, generators included."""


class Told:
    """Growing arrays of what was told, kept so that ``z[:n]`` and ``rewards[:n]`` need no copying."""

    def __init__(self, capacity: int) -> None:
        self.n = 0
        self.z = np.empty((max(capacity, 8), DIM))
        self.rewards = np.empty(max(capacity, 8))
        self.ages = np.empty(max(capacity, 8))

    def add(self, number: int, z: Array, reward: float) -> None:
        """Appends one result. Own trials are as old as their number; foreign ones are older than all own ones."""
        n = self.n
        if n == len(self.rewards):
            self.z = np.concatenate([self.z, np.empty_like(self.z)])
            self.rewards = np.concatenate([self.rewards, np.empty_like(self.rewards)])
            self.ages = np.concatenate([self.ages, np.empty_like(self.ages)])
        self.z[n] = z
        self.rewards[n] = reward
        self.ages[n] = number if number >= 0 else n - 1e12
        self.n = n + 1

    def best(self, count: int) -> NDArray[np.intp]:
        """Indices of the ``count`` best, best first, ties newest first (our choice)."""
        n = self.n
        return np.lexsort((-self.ages[:n], -self.rewards[:n]))[:count]


def population_size(budget: int, preferred: int = paper.ELITES) -> int:
    """The divisor of ``budget`` nearest to ``preferred``, so that the last generation is told in full.

    Ties go to the smaller size (more generations). A budget without a divisor between half and twice the preferred
    size (a prime, or a small one) gives ``preferred``, at most the budget and at least 2: its last generation stays
    incomplete.
    """
    fitting = [d for d in range(2, budget + 1) if budget % d == 0 and preferred <= 2 * d <= 4 * preferred]
    if fitting:
        return min(fitting, key=lambda d: (abs(d - preferred), d))
    return max(2, min(preferred, budget))


class PopulationSearch(Search):
    """A search that learns from whole generations; results are buffered until a generation is complete.

    Asks never wait: beyond the generation they are further draws from the same distribution. A generation is sorted by
    number before the update, so the order in which its trials were told does not matter.
    """

    def __init__(self, *, seed: int, budget: int, popsize: int | None = None, preferred: int = paper.ELITES) -> None:
        """Takes ``popsize`` as given, or the divisor of the budget nearest to ``preferred``."""
        super().__init__(seed=seed, budget=budget)
        self.popsize = population_size(budget, preferred) if popsize is None else check_count("popsize", popsize, 2)
        self._buffer: list[tuple[int, Array, float]] = []

    def tell(self, number: int, z: Array, reward: float, context: Context) -> None:
        """Buffers the result and updates when ``popsize`` of them are there."""
        self._buffer.append((number, z, reward))
        if len(self._buffer) == self.popsize:
            generation = sorted(self._buffer, key=lambda member: member[0])
            self._buffer = []
            self.update([m[0] for m in generation], [m[1] for m in generation], [m[2] for m in generation])

    @abstractmethod
    def update(self, numbers: list[int], points: list[Array], rewards: list[float]) -> None:
        """Learns from one complete generation."""

"""The one interface for optimizers and policies: ask, tell, freeze.

An agent is a *search* (where to try next) and a *policy* (what to do in the end); the two vary independently. To the
run loop a search distribution and a learned policy are the same kind of thing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deft_env.episode import Context, Status, Trial


class Policy(ABC):
    """An immutable map from contexts to residuals: what an agent would do at test time.

    Attributes:
        name: registry name of the policy that made it.
    """

    name: str = ""

    @abstractmethod
    def __call__(self, contexts: Sequence[Context], generators: Sequence[np.random.Generator]) -> NDArray[np.float64]:
        """Residuals (N, 22) in m and rad, row i from ``contexts[i]`` and ``generators[i]`` alone (any batch size)."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """JSON-able numbers and numpy arrays that rebuild the policy."""


class Agent(ABC):
    """Something that is asked for a residual and told a reward.

    Attributes:
        name: the full name, such as ``"cem+cvae"``.
        learns_from_foreign: whether the search learns from trials that it did not ask for.
        reward_range: (low, high) of the rewards that ``tell`` accepts.
    """

    name: str = ""
    learns_from_foreign: bool = True
    reward_range: tuple[float, float] = (0.0, 1.0)

    @abstractmethod
    def ask(self, context: Context) -> Trial:
        """Proposes a residual for this episode, inside the 4-sigma box. Asks may outrun tells."""

    @abstractmethod
    def tell(self, trial: Trial, reward: float, status: Status = Status.COMPLETED) -> None:
        """Reports the reward of a trial (higher is better), in any order, once per trial.

        Raises:
            ValueError: for a reward that is NaN or outside ``reward_range``, a status that does not count, or a trial
                that was told before; nothing is changed.
        """

    @abstractmethod
    def freeze(self) -> Policy:
        """An immutable snapshot of what the agent would do now, at any time; leaves agent and generators untouched."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Everything to continue exactly: JSON-able, no pickles; for a wrapped library its event log."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what ``state_dict`` gave, into an agent made with the same name, seed, budget and configuration."""

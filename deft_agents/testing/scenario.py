"""A small world for agents: made-up contexts, a bowl of rewards, the plain loop, and what must be refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from deft_agents.agent import Agent, Policy
from deft_env import grasp
from deft_env.episode import Context, Trial, generator

Array = NDArray[np.float64]
FEATURES: Final = 6


class MakeAgent(Protocol):
    """Makes a fresh agent, such as ``functools.partial(make_agent, "cem+cvae")``."""

    def __call__(self, *, seed: int, budget: int) -> Agent:
        """A fresh agent."""
        ...


def context(k: int) -> Context:
    """A made-up context: prior and features follow from ``k`` alone."""
    rng = generator("agent contract", k)
    middle = np.array([0.45, 0.0, 0.1] + [0.3] * 19) + grasp.SIGMA * rng.standard_normal(grasp.DIM)
    return Context(middle, rng.standard_normal(FEATURES), "contract")


def reward(trial: Trial) -> float:
    """A bowl whose best residual is 0.8 sigma in every dimension, in [0, 1]."""
    return float(np.exp(-0.03 * np.sum((trial.residual / grasp.SIGMA - 0.8) ** 2)))


def run(agent: Agent, start: int, stop: int, score: Callable[[Trial], float] = reward) -> list[Trial]:
    """Episodes ``start`` to ``stop`` of the plain loop: ask, score, tell."""
    trials = []
    for k in range(start, stop):
        trial = agent.ask(context(k))
        agent.tell(trial, score(trial))
        trials.append(trial)
    return trials


def residuals(trials: list[Trial]) -> Array:
    """(n, 22) of the trials."""
    return np.array([trial.residual for trial in trials])


def act(policy: Policy, count: int = 4) -> Array:
    """What a policy does in the first contexts, each with its own generator."""
    return policy([context(k) for k in range(count)], [generator("act", k) for k in range(count)])


@contextmanager
def refused(what: str) -> Iterator[None]:
    """Asserts that the block raises ``ValueError`` with a message."""
    try:
        yield
    except ValueError as error:
        if not str(error):
            raise AssertionError(f"{what} was refused without a message") from error
    else:
        raise AssertionError(f"{what} was accepted; expected ValueError")


def golden_asks(make: MakeAgent, episodes: int = 16) -> Array:
    """First, second and last ask of a short run of seed 0, (3, 22) in units of sigma: what golden files hold."""
    trials = run(make(seed=0, budget=30), 0, episodes)
    points: Array = residuals([trials[0], trials[1], trials[-1]]) / grasp.SIGMA
    return points

"""Tells when two agents are one: by comparing what they ask, not what they are called."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from deft_agents.registry import make_agent
from deft_env import grasp, paper
from deft_env.episode import Context, Trial


def _told(trial: Trial) -> float:
    """A slanted bowl: no symmetry that could make different optimizers agree by chance."""
    z = trial.residual / grasp.SIGMA
    return float(np.exp(-0.02 * np.sum((z - np.linspace(0.2, 1.2, grasp.DIM)) ** 2)))


def find_duplicates(names: Iterable[str], *, budget: int = paper.EPISODES, seed: int = 3) -> dict[str, str]:
    """Which agents ask exactly what an earlier one asks, over a whole run.

    Args:
        names: agents, in the order of preference.
        budget: episodes of the run; other budgets may give other answers.
        seed: of all agents.

    Returns:
        Name of each duplicate -> name of the first agent that asks the same points (to 1e-9 sigma).
    """
    seen: dict[bytes, str] = {}
    duplicates: dict[str, str] = {}
    context = Context(np.zeros(grasp.DIM))
    for name in names:
        agent = make_agent(name, seed=seed, budget=budget)
        points = []
        for _ in range(budget):
            trial = agent.ask(context)
            agent.tell(trial, _told(trial))
            points.append(trial.residual / grasp.SIGMA)
        # Adding zero makes -0.0 and 0.0 the same bytes.
        fingerprint = (np.round(np.array(points), 9) + 0.0).tobytes()
        first = seen.setdefault(fingerprint, name)
        if first != name:
            duplicates[name] = first
    return duplicates

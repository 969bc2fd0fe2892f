"""Comparing agents on the same scenes: paired differences, profiles, who wins how often, who gets there first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deft_env.episode import SPLITS
from deft_experiments import rates, statistics

Array = NDArray[np.float64]
LEVELS: Final = np.linspace(0.0, 1.0, 21)
"""Success levels of a performance profile."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Success of one agent by task and seed after some number of episodes.

    Attributes:
        name: of the agent.
        values: (tasks, seeds); every agent of a comparison has the same tasks and seeds.
    """

    name: str
    values: Array

    @property
    def pooled(self) -> Array:
        """(seeds,) mean over tasks: the unit of every test."""
        out: Array = self.values.mean(axis=0)
        return out


def scores(
    found: rates.Rates, named: Mapping[str, rates.Method], tasks: Sequence[str], splits: Sequence[str] = SPLITS
) -> tuple[list[Scores], list[int]]:
    """The agents' success on the seeds that all of them have on every task, splits weighing the same.

    Returns:
        The scores, and the seeds behind their columns.
    """
    places = [(m, t, s) for m in named.values() for t in tasks for s in splits]
    seeds = sorted(set.intersection(*(set(found.get(place, {})) for place in places))) if places else []
    out = []
    for name, method in named.items():
        cube = [[[found[method, t, s][seed].rate for seed in seeds] for t in tasks] for s in splits]
        out.append(Scores(name, np.array(cube).reshape(len(splits), len(tasks), len(seeds)).mean(axis=0)))
    return out, seeds


def probability_of_improvement(a: Scores, b: Scores, generator: np.random.Generator) -> statistics.Interval:
    """Chance that a run of A beats a run of B on the same task, ties counting half, mean over tasks.

    The interval is a bootstrap of the seeds of each agent within each task (as of Agarwal et al., 2021).
    """
    n, m = a.values.shape[1], b.values.shape[1]
    drawn = np.empty(statistics.RESAMPLES)
    for i in range(statistics.RESAMPLES):
        x = np.take_along_axis(a.values, generator.integers(n, size=a.values.shape), axis=1)
        y = np.take_along_axis(b.values, generator.integers(m, size=b.values.shape), axis=1)
        drawn[i] = _beats(x, y)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return statistics.Interval(_beats(a.values, b.values), float(low), float(high))


def _beats(x: Array, y: Array) -> float:
    gap = x[:, :, None] - y[:, None, :]
    return float(((gap > 0) + 0.5 * (gap == 0)).mean())


def performance_profile(of: Scores) -> Array:
    """Share of runs (task, seed) whose success is at least each of ``LEVELS``."""
    out: Array = (of.values.ravel()[:, None] >= LEVELS - 1e-12).mean(axis=0)
    return out


def win_matrix(all_: Sequence[Scores]) -> Array:
    """(agents, agents): share of (task, seed) on which the row beats the column on the same scenes, ties half."""
    out = np.full((len(all_), len(all_)), 0.5)
    for i, a in enumerate(all_):
        for j, b in enumerate(all_):
            if i != j:
                gap = a.values - b.values
                out[i, j] = ((gap > 0) + 0.5 * (gap == 0)).mean()
    return out


@dataclass(frozen=True, slots=True)
class Reach:
    """Episodes until runs reached a level.

    Attributes:
        runs: number of runs (task, seed).
        reached: how many reached it within their episodes; the others are censored.
        median: median episodes (Kaplan-Meier on equal censoring: half of all runs got there); None if fewer did.
        expected_running_time: episodes spent by all runs for each one that reached it; infinite if none did.
    """

    runs: int
    reached: int
    median: int | None
    expected_running_time: float


def reach(curves: Mapping[int, Scores], levels: Array) -> Reach:
    """Episodes until each run's success is at least its task's level, looked at after each number of episodes.

    Args:
        curves: episodes -> scores of one agent.
        levels: (tasks,) such as DEFT's mean after 30 episodes.
    """
    at = sorted(curves)
    hit = np.array([curves[n].values >= levels[:, None] - 1e-12 for n in at])
    first = np.where(hit.any(axis=0), np.array(at)[hit.argmax(axis=0)], at[-1]).ravel()
    reached = hit.any(axis=0).ravel()
    in_order = np.sort(np.where(reached, first, np.inf))
    middle = in_order[(len(in_order) - 1) // 2]
    return Reach(
        runs=len(first),
        reached=int(reached.sum()),
        median=int(middle) if np.isfinite(middle) else None,
        expected_running_time=statistics.expected_running_time(first, list(reached)),
    )


def as_dict(of: Reach) -> dict[str, Any]:
    """Plain JSON values; an infinite running time is None."""
    time = of.expected_running_time
    return {
        "runs": of.runs,
        "reached": of.reached,
        "median": of.median,
        "expected_running_time": time if np.isfinite(time) else None,
    }

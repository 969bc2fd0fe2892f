"""Success by seed, read from a store: what tables, comparisons, figures and the leaderboard are made of."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deft_agents import split_name
from deft_experiments.config import RunConfig
from deft_experiments.evaluate import PRIOR_ALONE
from deft_experiments.store import Store


@dataclass(frozen=True, slots=True)
class Method:
    """What was evaluated, apart from task, seed and split.

    Attributes:
        search: the search behind it; empty for the untouched prior.
        policy: the policy, ``"prior"`` for the untouched prior.
        prior: the prior's name.
        reward: what the search was told; empty for the untouched prior.
        after: fine-tuning episodes behind it.
    """

    search: str
    policy: str
    prior: str
    reward: str
    after: int


@dataclass(frozen=True, slots=True)
class Record:
    """One evaluated policy of one run on one split: ``successes`` of ``trials``."""

    run: str
    seed: int
    successes: int
    trials: int

    @property
    def rate(self) -> float:
        """Success rate."""
        return self.successes / self.trials


Rates = dict[tuple[Method, str, str], dict[int, Record]]
"""(method, task, split) -> seed -> record."""


def read(store: Store, *, trials: int | None = None, runs: Collection[str] | None = None) -> Rates:
    """Every evaluated policy of a store, by seed.

    Args:
        store: opened for reading.
        trials: only the first so many trials of each count (a larger sweep in the same folder had more).
        runs: ids of the runs that count; all by default.
    """
    most = 2**62 if trials is None else trials
    rows = store.rows(
        "SELECT run, task, agent, prior, reward_name, seed, policy, after, split, count(*) AS trials,"
        " sum(success) AS successes FROM evaluation_episodes"
        " WHERE status IN ('completed', 'failed') AND NOT voided AND success IS NOT NULL AND k < ?"
        " AND (? OR run IN (SELECT value FROM json_each(?))) GROUP BY run, policy, after, split",
        (most, runs is None, json.dumps(sorted(runs or ()))),
    )
    found: Rates = {}
    for row in rows:
        place = (_method(row), row["task"], row["split"])
        record = Record(row["run"], row["seed"], int(row["successes"]), int(row["trials"]))
        of = found.setdefault(place, {})
        if row["seed"] not in of or record.trials > of[row["seed"]].trials:
            of[row["seed"]] = record
    return found


def _method(row: Mapping[str, Any]) -> Method:
    if row["policy"] == PRIOR_ALONE:
        return Method("", PRIOR_ALONE, row["prior"], "", 0)
    return Method(split_name(row["agent"])[0], row["policy"], row["prior"], row["reward_name"], row["after"])


def of_config(config: RunConfig, policy: str, after: int) -> Method:
    """The method that evaluates ``policy`` after ``after`` episodes of a run like ``config``."""
    if policy == PRIOR_ALONE:
        return Method("", PRIOR_ALONE, config.prior, "", 0)
    return Method(split_name(config.agent)[0], policy, config.prior, config.reward, after)


def pooled(rates: Rates, method: Method, tasks: Collection[str], split: str) -> dict[int, float]:
    """Seed -> mean rate over tasks, for the seeds that every task has; tasks weigh the same."""
    by_task = [rates.get((method, task, split), {}) for task in tasks]
    if not by_task:
        return {}
    shared = set.intersection(*(set(of) for of in by_task))
    return {seed: float(np.mean([of[seed].rate for of in by_task])) for seed in sorted(shared)}


def side_by_side(a: Mapping[int, float], b: Mapping[int, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The rates of both on the seeds that both have, in the order of the seeds."""
    seeds = sorted(a.keys() & b.keys())
    return np.array([a[s] for s in seeds]), np.array([b[s] for s in seeds])

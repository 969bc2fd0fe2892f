"""The paper's tables 2 and 3 as sweeps, and what our runs put into their cells."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from deft_env import paper, registries
from deft_env.episode import SPLITS
from deft_experiments import paper_results, rates, statistics, sweep
from deft_experiments.config import RunConfig, file_hash, with_shipped
from deft_experiments.evaluate import PRIOR_ALONE

SEARCH: Final = "cem"
POLICY: Final = "cvae"
SEEDS: Final = 20
TRIALS: Final = 20
QUICK_SEEDS: Final = 4
QUICK_TRIALS: Final = 10
ORACLE: Final = "oracle"
SMALL_ENCODER: Final = "time-contrastive"
REWARD_WEIGHTS: Final = ("r3m", "resnet18", SMALL_ENCODER)
"""Weights that only the reward rows of table 3 read."""
NETWORK: Final = "affordance"
"""The prior that is a network, and the name of its weights."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table.

    Attributes:
        name: as printed.
        published: the paper's name of the row; empty where it has none.
        policy: what is evaluated; ``"prior"`` for the untouched prior.
        prior: what fine-tuning starts from.
        reward: what the agent is told.
        missing: why it cannot run here and what would mend that; empty where it can.
    """

    name: str
    published: str
    policy: str = POLICY
    prior: str = "simulated"
    reward: str = ORACLE
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the paper: its rows, its tasks, its published cells."""

    number: int
    rows: tuple[Row, ...]
    tasks: tuple[str, ...]
    published: Mapping[str, Mapping[str, paper_results.Cell]]


@dataclass(frozen=True, slots=True)
class TableCell:
    """Our success beside the paper's.

    Attributes:
        row, task, split: place in the table.
        rate, low, high: mean over seeds with its 95 % interval (``statistics.over_seeds``); None where nothing ran.
        seeds, trials: behind it.
        paper: the paper's successes of ten trials; None where it gives none.
        paper_p: probability of a count as unlikely as the paper's under our distribution over seeds; None as above.
    """

    row: str
    task: str
    split: str
    rate: float | None
    low: float | None
    high: float | None
    seeds: int
    trials: int
    paper: int | None
    paper_p: float | None


def table(
    number: int,
    *,
    all_tasks: bool = False,
    tasks: Sequence[str] = (),
    prior: str = "simulated",
    heuristic: str = "heuristic",
    weights: Mapping[str, Path] | None = None,
    stand_ins: bool = False,
) -> Table:
    """Table 2 or 3.

    Args:
        number: 2 or 3.
        all_tasks: all nine tasks instead of the paper's.
        tasks: these tasks instead.
        prior: the learned prior's place: ``simulated`` or ``affordance``.
        heuristic: which heuristic prior the real-world-only row starts from.
        weights: name -> path; reward rows whose weights are absent do not run and say so.
        stand_ins: adds rows of what stands in for the paper's networks, under names of their own: in table 2 the
            small affordance network, in table 3 the rewards of a small and of a random encoder and of a success
            detector.
    """
    have = weights or {}
    if number == 2:
        published = paper_results.TABLE_2
        rows = [
            Row("Real-world only", "Real-world only", prior=heuristic),
            Row("Affordance only", "Affordance only", policy=PRIOR_ALONE, prior=prior),
        ]
        if stand_ins and prior != NETWORK:
            network = "network of --weights" if NETWORK in have else "small network, synthetic videos"
            rows.append(Row(f"Affordance only ({network})", "", policy=PRIOR_ALONE, prior=NETWORK))
            rows.append(Row(f"DEFT ({network})", "", prior=NETWORK))
    elif number == 3:
        published = paper_results.TABLE_3
        rows = [
            _reward_row("R3M reward", "r3m", prior, have),
            _reward_row("ResNet18 ImageNet reward", "resnet18", prior, have),
            Row("DEFT w/ MLP", "DEFT w/ MLP", policy="mlp", prior=prior),
            Row("DEFT w/ Transformer", "DEFT w/ Transformer", policy="transformer", prior=prior),
            Row(
                "DEFT w/ direct parameter estimation",
                "DEFT w/ direct parameter estimation",
                policy="direct",
                prior=prior,
            ),
        ]
        if stand_ins:
            rows[2:2] = [
                _reward_row("small encoder reward (synthetic videos)", SMALL_ENCODER, prior, have, published=False),
                Row("random ResNet18 reward (stand-in)", "", prior=prior, reward="resnet18-random"),
                Row("success detector reward (synthetic people)", "", prior=prior, reward="success-detector"),
            ]
    else:
        raise ValueError(f"number: the paper has success tables 2 and 3, got {number!r}")
    rows.append(Row("DEFT", "DEFT", prior=prior))
    own = tuple(published["DEFT"])
    chosen = tuple(tasks) or (tuple(registries.TASK_WORDS) if all_tasks else own)
    return Table(number, tuple(rows), chosen, published)


def _reward_row(name: str, reward: str, prior: str, have: Mapping[str, Path], *, published: bool = True) -> Row:
    missing = "" if reward in have or reward == SMALL_ENCODER else f"weights absent: give --weights {reward}=PATH"
    return Row(name, name if published else "", prior=prior, reward=reward, missing=missing)


def plan(
    wanted: Table,
    base: RunConfig,
    *,
    seeds: int,
    trials: int,
    weights: Mapping[str, Path] | None = None,
    at: Sequence[int] = (paper.EPISODES,),
    splits: tuple[str, ...] = SPLITS,
) -> sweep.Plan:
    """The sweep behind a table: one run for each task, seed, prior and reward, shared by the rows that need it."""
    policies: dict[tuple[str, str], list[str]] = {}
    alone = {row.prior for row in wanted.rows if row.policy == PRIOR_ALONE}
    for row in wanted.rows:
        if row.policy != PRIOR_ALONE and not row.missing:
            policies.setdefault((row.prior, row.reward), []).append(row.policy)
    jobs = []
    hashes = {name: file_hash(path) for name, path in (weights or {}).items()}
    for task in wanted.tasks:
        for (prior, reward), names in policies.items():
            # A run names the weights that it can have read, so that rows without them are shared between tables.
            read = {name: h for name, h in hashes.items() if name == reward or name not in REWARD_WEIGHTS}
            for seed in range(seeds):
                agent = f"{SEARCH}+{POLICY}"
                config = with_shipped(
                    dataclasses.replace(
                        base, task=task, seed=seed, prior=prior, reward=reward, agent=agent, weights=read
                    )
                )
                jobs.append(
                    sweep.Job(
                        config,
                        tuple(dict.fromkeys(names)),
                        prior=prior in alone and reward == base.reward,
                    )
                )
    return sweep.Plan(tuple(jobs), trials, tuple(at), dict(weights or {}), splits)


def method(row: Row, after: int = paper.EPISODES) -> rates.Method:
    """What the row's cells are, in a store."""
    if row.policy == PRIOR_ALONE:
        return rates.Method("", PRIOR_ALONE, row.prior, "", 0)
    return rates.Method(SEARCH, row.policy, row.prior, row.reward, after)


def cells(wanted: Table, found: rates.Rates, after: int = paper.EPISODES) -> list[TableCell]:
    """Every cell of the table, row by row, task by task, train then test."""
    return [
        _cell(wanted, row, task, split, found, after)
        for row in wanted.rows
        for task in wanted.tasks
        for split in SPLITS
    ]


def _cell(wanted: Table, row: Row, task: str, split: str, found: rates.Rates, after: int) -> TableCell:
    records = found.get((method(row, after), task, split), {})
    published = wanted.published.get(row.published, {}).get(task)
    k = None if published is None else published.successes(split)
    if not records:
        return TableCell(row.name, task, split, None, None, None, 0, 0, k, None)
    ours = np.array([records[seed].rate for seed in sorted(records)])
    trials = min(r.trials for r in records.values())
    interval = statistics.over_seeds(ours)
    p = None if k is None else statistics.beta_binomial_p(ours, trials, k, paper.PAPER_TRIALS)
    return TableCell(
        *(row.name, task, split, interval.estimate, interval.low, interval.high, len(ours), trials, k, p),
    )


def as_dicts(found: Sequence[TableCell]) -> list[dict[str, Any]]:
    """Plain JSON values."""
    return [dataclasses.asdict(cell) for cell in found]

"""What a store says of its runs, in numbers and in words; terminal, JSON and report all read this."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from deft_agents import split_name
from deft_env import paper
from deft_env.episode import SPLITS
from deft_experiments import statistics
from deft_experiments.evaluate import PRIOR_ALONE
from deft_experiments.paper_results import published
from deft_experiments.store import Store

AFFORDANCE_PRIORS: Final = ("simulated", "affordance")
"""Priors whose row in the paper is DEFT's; with a heuristic prior it is the real-world-only baseline."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Success of one policy on one split.

    Attributes:
        task, search, policy, after, split: what was evaluated; ``after`` is the fine-tuning episodes behind it. The
            prior alone has no search.
        prior, reward, encoder: of the run.
        seeds: runs behind it.
        trials: evaluation trials a run.
        success_rate: mean over runs.
        low, high: 95 % interval: Wilson's for one run (this frozen policy on independent scenes), that of
            ``statistics.over_seeds`` for several.
        interval: which of the two.
        mean_score: mean of the judge's rubric.
        paper: the paper's rate; None where it gives none.
        paper_p: probability of a count as unlikely as the paper's k/10 under our per-seed distribution; None as above.
    """

    task: str
    search: str
    policy: str
    after: int
    split: str
    prior: str
    reward: str
    encoder: str
    seeds: int
    trials: int
    success_rate: float
    low: float
    high: float
    interval: str
    mean_score: float | None
    paper: float | None
    paper_p: float | None


def paper_method(policy: str, prior: str) -> str:
    """The row of the paper's table 2 that a policy stands beside; empty where there is none."""
    if policy == PRIOR_ALONE:
        return "Affordance only" if prior in AFFORDANCE_PRIORS else ""
    if policy != "cvae":
        return ""
    return "DEFT" if prior in AFFORDANCE_PRIORS else "Real-world only"


def cells(store: Store) -> list[Cell]:
    """Every evaluated (task, agent, policy, after, split) of a store, over its seeds."""
    rows = store.rows(
        "SELECT * FROM evaluations WHERE successes IS NOT NULL"
        " ORDER BY task, agent, after, policy, split DESC, seed, run"
    )
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(_name(row), []).append(row)
    return [_cell(name, group) for name, group in groups.items()]


def _name(row: dict[str, Any]) -> tuple[Any, ...]:
    """What rows of one cell have in common; the untouched prior is the same whatever the search and its reward."""
    alone = row["policy"] == PRIOR_ALONE
    search = "" if alone else split_name(row["agent"])[0]
    return (
        *(row["task"], search, row["policy"], row["after"], row["split"]),
        *(row["prior"], "" if alone else row["reward_name"], "" if alone else row["encoder"]),
    )


def _cell(name: tuple[Any, ...], group: Sequence[dict[str, Any]]) -> Cell:
    task, search, policy, after, split, prior, reward, encoder = name
    rates = np.array([row["success_rate"] for row in group])
    trials = min(row["trials"] for row in group)
    if len(group) == 1:
        interval, kind = statistics.wilson(int(group[0]["successes"]), group[0]["trials"]), "Wilson"
    else:
        interval, kind = statistics.over_seeds(rates), "over seeds"
    method = paper_method(policy, prior)
    rate = published(task, method, split) if method and after in (0, paper.EPISODES) else None
    k = None if rate is None else round(rate * paper.PAPER_TRIALS)
    scores = [row["mean_score"] for row in group if row["mean_score"] is not None]
    return Cell(
        task=task,
        search=search,
        policy=policy,
        after=after,
        split=split,
        prior=prior,
        reward=reward,
        encoder=encoder,
        seeds=len(group),
        trials=trials,
        success_rate=float(rates.mean()),
        low=interval.low,
        high=interval.high,
        interval=kind,
        mean_score=float(np.mean(scores)) if scores else None,
        paper=rate,
        paper_p=None if k is None else statistics.beta_binomial_p(rates, trials, k, paper.PAPER_TRIALS),
    )


def training(store: Store, run: str) -> dict[str, Any]:
    """The fine-tuning episodes of a run: rewards, scores, successes, statuses; the means of its two ends."""
    rows = store.rows("SELECT * FROM episodes WHERE run = ? ORDER BY k", (run,))
    successes = [None if r["success"] is None else bool(r["success"]) for r in rows]
    said = [s for s in successes if s is not None]
    return {
        "episodes": len(rows),
        "rewards": [r["reward"] for r in rows],
        "scores": [r["score"] for r in rows],
        "successes": successes,
        "statuses": [r["status"] for r in rows],
        "residuals": [json.loads(r["residual"]) for r in rows],
        "subgoals": [json.loads(r["subgoals"]) for r in rows],
        "success_ends": _ends(said),
        "best_episode": _best(rows),
    }


def _ends(successes: Sequence[bool]) -> dict[str, Any] | None:
    """Success of the first and of the last episodes: ten each, of fewer than 30 a third; None below 6 (our choice)."""
    each = min(paper.WARMUP_EPISODES, len(successes) // 3)
    if each < 2:
        return None
    return {"each": each, "first": float(np.mean(successes[:each])), "last": float(np.mean(successes[-each:]))}


def _best(rows: Sequence[dict[str, Any]]) -> int | None:
    rated = [r for r in rows if r["reward_told"] is not None]
    return int(max(rated, key=lambda r: (r["reward_told"], r["k"]))["k"]) if rated else None


def of_run(store: Store, run: str) -> dict[str, Any]:
    """Everything about one run that is the same each time it is repeated; JSON-able."""
    config, provenance = store.run(run)
    own = cells_of(store, run)
    return {
        "run": run,
        "config": config,
        "stand_ins": provenance.get("stand_ins", []),
        "versions": provenance.get("versions", {}),
        "training": training(store, run),
        "evaluation": [asdict(c) for c in own],
        "words": words(own, provenance.get("stand_ins", [])),
    }


def cells_of(store: Store, run: str) -> list[Cell]:
    """The evaluated policies of one run, in the order of a table: prior, others, the agent's own policy."""
    rows = store.rows("SELECT * FROM evaluations WHERE run = ? AND successes IS NOT NULL", (run,))
    rank = {PRIOR_ALONE: 0, "elite-mean": 1}
    rows.sort(key=lambda r: (r["after"], rank.get(r["policy"], 2), r["policy"], SPLITS.index(r["split"])))
    return [_cell(_name(r), [r]) for r in rows]


def words(own: Sequence[Cell], stand_ins: Sequence[str]) -> str:
    """What the cells of one run say, in a few sentences."""
    sentences = []
    if stand_ins:
        sentences.append(f"Stand-ins, not the real thing: {', '.join(stand_ins)}.")
    last = max((c.after for c in own), default=0)
    for split in SPLITS:
        prior = next((c for c in own if c.policy == PRIOR_ALONE and c.split == split), None)
        tuned = [c for c in own if c.policy != PRIOR_ALONE and c.after == last and c.split == split]
        if prior is None or not tuned:
            continue
        best = max(tuned, key=lambda c: c.success_rate)
        said = ", ".join(f"{c.policy} {c.success_rate:.2f} [{c.low:.2f}, {c.high:.2f}]" for c in tuned)
        verdict = (
            "above the prior's interval"
            if best.low > prior.high
            else "below the prior's interval"
            if best.high < prior.low
            else "not separated from the prior"
        )
        sentences.append(
            f"On {split} objects after {last} episodes: {said}; prior alone {prior.success_rate:.2f} "
            f"[{prior.low:.2f}, {prior.high:.2f}] ({best.trials} trials; {best.policy} is {verdict})."
        )
    return " ".join(sentences)

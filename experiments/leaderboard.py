"""The leaderboard: agents of stored sweeps by pooled success, with intervals, cost and the command of each."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from deft_env import paper
from deft_env.episode import SPLITS
from deft_experiments import comparing, cost, rates, statistics
from deft_experiments.evaluate import PRIOR_ALONE
from deft_experiments.store import FILE_NAME, Store

REFERENCE: Final = ("cem", "cvae")


@dataclass(frozen=True, slots=True)
class Entry:
    """One agent.

    Attributes:
        name: ``search+policy``, or ``prior alone``.
        prior, reward: of its runs; reward empty for the prior alone.
        rig: ``setting`` of its runs.
        tasks: the tasks that it ran.
        seeds, trials: behind the figure.
        success: pooled success with its interval over seeds (mean over tasks and splits); None if a task or split is
            missing.
        over_deft: paired difference to DEFT on the same scenes, where DEFT ran on them; None else.
        p: of that difference, Holm-corrected over the leaderboard; None as above.
        cost: mean cost of fine-tuning; None for the prior alone.
        commands: what made its runs.
    """

    name: str
    prior: str
    reward: str
    rig: str
    tasks: tuple[str, ...]
    seeds: int
    trials: int
    success: statistics.Interval | None
    over_deft: statistics.Interval | None
    p: float | None
    cost: cost.Cost | None
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """The ranking, and what it is over.

    Attributes:
        entries: best first; agents that lack a task come last, unranked.
        tasks, splits: what counts, each weighing the same.
    """

    entries: list[Entry]
    tasks: tuple[str, ...]
    splits: tuple[str, ...]


def stores(folders: Sequence[Path]) -> list[Path]:
    """Every store in the folders, at any depth."""
    return sorted({path for folder in folders for path in folder.rglob(FILE_NAME)})


def setting(config: Mapping[str, Any], after: int = paper.EPISODES) -> str:
    """The rig of a run and whatever else is not as usual; only runs of one setting are ranked against each other."""
    said = {k: config[k] for k in ("rig_options", "prior_options", "reward_options", "agent_options") if config.get(k)}
    if config["encoder"] != "none":
        said["encoder"] = config["encoder"]
    if config["episodes"] != after:
        said["episodes"] = config["episodes"]
    return str(config["rig"]) + "".join(f", {k}={json.dumps(v, sort_keys=True)}" for k, v in said.items())


def evaluated_splits(paths: Sequence[Path], after: int = paper.EPISODES) -> tuple[str, ...]:
    """The splits on which any policy after so many episodes was evaluated, in their order."""
    found: set[str] = set()
    for path in paths:
        with Store(path, "r") as store:
            rows = store.rows("SELECT DISTINCT split FROM events WHERE role = 'eval' AND after = ?", (after,))
            found |= {row["split"] for row in rows}
    return tuple(split for split in SPLITS if split in found)


def evaluated_after(paths: Sequence[Path]) -> tuple[int, ...]:
    """The numbers of fine-tuning episodes after which any policy was evaluated; the untouched prior's 0 aside."""
    found: set[int] = set()
    for path in paths:
        with Store(path, "r") as store:
            rows = store.rows("SELECT DISTINCT after FROM events WHERE role = 'eval' AND after > 0")
            found |= {int(row["after"]) for row in rows}
    return tuple(sorted(found))


def build(
    paths: Sequence[Path],
    *,
    tasks: Collection[str] = (),
    after: int = paper.EPISODES,
    splits: Sequence[str] = (),
) -> Board:
    """Ranks the agents of all stores.

    Args:
        paths: stores.
        tasks: what counts; by default ``common_tasks``.
        after: fine-tuning episodes.
        splits: the objects that count, weighing the same; by default those on which any agent was evaluated.
    """
    splits = tuple(splits) or evaluated_splits(paths, after)
    found: dict[str, rates.Rates] = {}
    origin: dict[tuple[str, rates.Method], dict[Path, set[str]]] = {}
    for path in paths:
        with Store(path, "r") as store:
            rigs = {run: setting(store.run(run)[0], after) for run in store.runs()}
            for place, records in rates.read(store).items():
                if place[0].after not in (0, after):
                    continue
                for seed, record in records.items():
                    rig = rigs[record.run]
                    kept = found.setdefault(rig, {}).setdefault(place, {})
                    if seed not in kept or record.trials > kept[seed].trials:
                        kept[seed] = record
                    origin.setdefault((rig, place[0]), {}).setdefault(path, set()).add(record.run)
    wanted = sorted(tasks) or common_tasks(found, splits)
    entries = [
        _entry(method, rig, of, wanted, splits, origin[rig, method])
        for rig, of in sorted(found.items())
        for method in sorted({place[0] for place in of}, key=str)
    ]
    return Board(_ranked(entries, found, wanted, splits), tuple(wanted), splits)


def common_tasks(found: Mapping[str, rates.Rates], splits: Sequence[str]) -> list[str]:
    """The tasks that every agent finished, of those agents that finished at least half as many as any other did.

    So an agent that ran on a task or two does not take the others out of the comparison, and one of the paper's figures
    with three more tasks does not leave every table's agents incomplete.
    """
    finished = []
    for of in found.values():
        for method in {place[0] for place in of}:
            of_splits = [{t for m, t, s in of if m == method and s == split} for split in splits]
            finished.append(set.intersection(*of_splits) if of_splits else set())
    most = max(map(len, finished), default=0)
    broad = [tasks for tasks in finished if tasks and 2 * len(tasks) >= most]
    return sorted(set.intersection(*broad) or set.union(*broad)) if broad else []


def _entry(
    method: rates.Method,
    rig: str,
    of: rates.Rates,
    wanted: Sequence[str],
    splits: Sequence[str],
    origin: dict[Path, set[str]],
) -> tuple[rates.Method, Entry]:
    mine = {place: records for place, records in of.items() if place[0] == method and place[2] in splits}
    tasks = tuple(sorted({task for _, task, _ in mine}))
    complete = {(task, split) for task in wanted for split in splits} <= {place[1:] for place in mine}
    scores, seeds = comparing.scores(of, {"": method}, wanted, splits) if complete else ([], [])
    success = statistics.over_seeds(scores[0].pooled) if seeds else None
    alone = method.policy == PRIOR_ALONE
    commands, spent = [], None
    for path, runs in origin.items():
        with Store(path, "r") as store:
            commands += [store.run(run)[1].get("command", "") for run in sorted(runs)]
            if not alone and spent is None:
                spent = cost.cost(store, runs)
    trials = min((r.trials for records in mine.values() for r in records.values()), default=0)
    name = "prior alone" if alone else f"{method.search}+{method.policy}"
    return method, Entry(
        *(name, method.prior, method.reward, rig, tasks, len(seeds), trials, success, None, None, spent),
        commands=tuple(dict.fromkeys(c for c in commands if c)),
    )


def _ranked(
    entries: Sequence[tuple[rates.Method, Entry]],
    found: dict[str, rates.Rates],
    wanted: Sequence[str],
    splits: Sequence[str],
) -> list[Entry]:
    compared: list[tuple[int, statistics.Paired]] = []
    for i, (method, entry) in enumerate(entries):
        deft = rates.Method(*REFERENCE, "simulated", "oracle", method.after or paper.EPISODES)
        if entry.success is None or method == deft:
            continue
        try:
            (a, b), seeds = comparing.scores(found[entry.rig], {"a": method, "b": deft}, wanted, splits)
        except KeyError:
            continue
        if len(seeds) > 1:
            compared.append((i, statistics.paired(a.pooled, b.pooled)))
    out = [entry for _, entry in entries]
    adjusted = statistics.holm([pair.p for _, pair in compared]) if compared else np.array([])
    for (i, pair), p in zip(compared, adjusted, strict=True):
        out[i] = dataclasses.replace(out[i], over_deft=pair.difference, p=float(p))
    return sorted(out, key=lambda e: (e.rig, e.success is None, -(e.success.estimate if e.success else 0.0), e.name))

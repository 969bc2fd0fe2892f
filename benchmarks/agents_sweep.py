"""What the comparisons of agents share: their arguments, playing what a folder lacks, and reading success rates.

Their folders are ordinary ones of sweeps: a run that one holds is not played again, so the same command goes on where
it was stopped, and agents, tasks, seeds or trials may be added later. It plays block of seeds by block of seeds, every
task in each, so that an interrupted comparison is balanced.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deft_experiments import sweep
from deft_experiments.config import RunConfig
from deft_experiments.store import Store


def arguments(doc: str | None, folder: str, tasks: Sequence[str], *, seeds: int, block: int) -> argparse.ArgumentParser:
    """A parser of what every comparison takes, with these defaults; ``doc`` begins with what it does."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(folder))
    parser.add_argument("--tasks", nargs="+", default=list(tasks))
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--first-seed", type=int, default=0, help="settings are chosen on other seeds than reported")
    parser.add_argument("--trials", type=int, default=20, help="evaluation episodes a policy and run")
    parser.add_argument("--block", type=int, default=block, help="seeds that advance together")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--table-only", action="store_true")
    return parser


def play(
    args: argparse.Namespace,
    bases: Sequence[RunConfig],
    agents: Sequence[str],
    *,
    after: Sequence[int],
    splits: Sequence[str],
    prior: Callable[[sweep.Job], bool] = lambda job: False,
) -> None:
    """Plays what the folder lacks, block of seeds by block, every task and configuration in each.

    Args:
        args: of ``arguments``.
        bases: configurations, of which task, agent and seed are replaced.
        agents: names.
        after: numbers of episodes after which policies are evaluated.
        splits: objects that they are evaluated on.
        prior: whether the untouched prior is evaluated in a job's runs too.
    """
    last = args.first_seed + args.seeds
    for first in range(args.first_seed, last, args.block):
        stop = min(first + args.block, last)
        for task in args.tasks:
            for base in bases:
                started = time.monotonic()
                every = sweep.jobs(base, agents, [task], stop)
                mine = tuple(replace(job, prior=prior(job)) for job in every if job.config.seed >= first)
                plan = sweep.Plan(mine, args.trials, tuple(after), splits=tuple(splits))
                sweep.run_sweep(plan, args.folder, args.workers, lambda n: None)
                which = f", encoder {base.encoder}" if len(bases) > 1 else ""
                print(f"{task}{which}, seeds {first}-{stop - 1}: {time.monotonic() - started:.0f} s", flush=True)


def read(args: argparse.Namespace, split: str) -> list[dict[str, Any]]:
    """Success on a split by task, agent, encoder, seed, policy and ``after``, of the seeds and trials of ``args``.

    Not the view of whole evaluations: a policy that has played more trials is judged on the same ones as others.
    """
    with Store(args.folder, "r") as store:
        rows = store.rows(
            "SELECT task, agent, encoder, seed, policy, after, avg(success) AS success_rate FROM evaluation_episodes"
            " WHERE split = ? AND k < ? AND status IN ('completed', 'failed') AND NOT voided"
            " GROUP BY run, policy, after HAVING count(*) = ?",
            (split, args.trials, args.trials),
        )
    return [row for row in rows if args.first_seed <= row["seed"] < args.first_seed + args.seeds]

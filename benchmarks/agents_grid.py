"""Search x policy on the simulated tasks, and what image features do for the policies.

    python benchmarks/agents_grid.py --folder runs/agents-grid
    python benchmarks/agents_grid.py --folder runs/agents-encoders --encoders none colour-grid time-contrastive \
        --searches cem --policies elite-mean cvae mlp transformer direct
    python benchmarks/agents_grid.py --folder … --table-only

The folder is one of ``agents_sweep``. Policies fitted to one search share its episodes, and all agents meet the same
scenes. Figures are success rates of the policy frozen after the last fine-tuning episode, on fresh scenes of the
training objects. Intervals are 95 % bootstraps of differences paired by seed, seeds resampled within tasks, not
corrected for the number of cells: they speak of these tasks, and a cell that stands out of dozens is to be played again
on other seeds.
"""

from __future__ import annotations

import argparse

import agents_sweep
import numpy as np
from numpy.typing import NDArray

from deft_agents import split_name
from deft_env.episode import generator
from deft_experiments import statistics
from deft_experiments.config import RunConfig

TASKS = ("PickCup", "OpenDrawer", "PickSpoon")
SEARCHES = ("cem", "cem-logrank", "gp", "cma-mirrored", "ng:DiagonalCMA", "random")
POLICIES = ("recommend", "elite-mean", "argmax", "cvae", "mlp", "transformer", "direct")
REFERENCE = ("cem", "cvae")
Cell = tuple[str, str, str]
"""Encoder, search, policy."""
Rates = dict[Cell, dict[str, dict[int, float]]]
"""Cell -> task -> seed -> success rate."""


def play(args: argparse.Namespace) -> None:
    """Plays what the folder lacks."""
    bases = [RunConfig(args.tasks[0], rig=args.rig, encoder=e, episodes=args.episodes) for e in args.encoders]
    agents = [f"{search}+{policy}" for search in args.searches for policy in args.policies]
    agents_sweep.play(args, bases, agents, after=(args.episodes,), splits=("train",))


def read(args: argparse.Namespace) -> Rates:
    """Success after the last episode, on training objects."""
    rates: Rates = {}
    for row in agents_sweep.read(args, "train"):
        if row["after"] == args.episodes:
            cell = (row["encoder"], split_name(row["agent"])[0], row["policy"])
            rates.setdefault(cell, {}).setdefault(row["task"], {})[row["seed"]] = row["success_rate"]
    return rates


def complete(rates: Rates, cells: list[Cell], tasks: list[str]) -> dict[str, list[int]]:
    """Task -> the seeds for which every cell of the table is there; tasks with fewer than two are left out."""
    found = {}
    for task in tasks:
        common = set.intersection(*(set(rates.get(cell, {}).get(task, {})) for cell in cells))
        if len(common) >= 2:
            found[task] = sorted(common)
    return found


def by_task(rates: Rates, cell: Cell, seeds: dict[str, list[int]]) -> list[NDArray[np.float64]]:
    """Per task (seeds,) success rates."""
    return [np.array([rates[cell][task][s] for s in of_task]) for task, of_task in seeds.items()]


def pooled(rates: Rates, cell: Cell, seeds: dict[str, list[int]]) -> float:
    """Success with every task weighing the same."""
    return float(np.mean([r.mean() for r in by_task(rates, cell, seeds)]))


def difference(rates: Rates, cell: Cell, other: Cell, seeds: dict[str, list[int]]) -> statistics.Interval:
    """Interval of the paired difference."""
    pairs = zip(by_task(rates, cell, seeds), by_task(rates, other, seeds), strict=True)
    return statistics.stratified_bootstrap([a - b for a, b in pairs], generator("agents_grid", *cell, *other))


def grid_table(rates: Rates, args: argparse.Namespace, seeds: dict[str, list[int]]) -> list[str]:
    """Rows searches, columns policies; * the interval of the difference to the paper's method is above zero."""
    encoder = args.encoders[0]
    reference = (encoder, *REFERENCE)
    lines = [
        "| search | " + " | ".join(f"`{p}`" for p in args.policies) + " |",
        "|---" * (len(args.policies) + 1) + "|",
    ]
    for search in args.searches:
        row = [f"`{search}`"]
        for policy in args.policies:
            cell = (encoder, search, policy)
            mark = ""
            if cell != reference and reference[1] in args.searches and reference[2] in args.policies:
                interval = difference(rates, cell, reference, seeds)
                mark = "*" if interval.low > 0 else "†" if interval.high < 0 else ""
            row.append(f"{pooled(rates, cell, seeds):.3f}{mark}")
        lines.append("| " + " | ".join(row) + " |")
    return lines


def encoder_table(rates: Rates, args: argparse.Namespace, seeds: dict[str, list[int]]) -> list[str]:
    """Rows agents, columns encoders: success, and its difference to the first encoder with an interval."""
    first, *others = args.encoders
    head = [f"`{first}`", *(text for e in others for text in (f"`{e}`", f"`{e}` minus `{first}`"))]
    lines = ["| agent | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
    for search in args.searches:
        for policy in args.policies:
            row = [f"`{search}+{policy}`", f"{pooled(rates, (first, search, policy), seeds):.3f}"]
            for encoder in others:
                cell = (encoder, search, policy)
                i = difference(rates, cell, (first, search, policy), seeds)
                row += [f"{pooled(rates, cell, seeds):.3f}", f"{i.estimate:+.3f} [{i.low:+.3f}, {i.high:+.3f}]"]
            lines.append("| " + " | ".join(row) + " |")
    return lines


def main() -> None:
    """Plays what is missing and prints one table."""
    parser = agents_sweep.arguments(__doc__, "runs/agents-grid", TASKS, seeds=10, block=5)
    parser.add_argument("--searches", nargs="+", default=list(SEARCHES))
    parser.add_argument("--policies", nargs="+", default=list(POLICIES))
    parser.add_argument("--encoders", nargs="+", default=["none"], help="what the policies see beside the prior grasp")
    parser.add_argument("--rig", default="simulated", help="landscape: synthetic, nothing is grasped")
    parser.add_argument("--episodes", type=int, default=30)
    args = parser.parse_args()
    if not args.table_only:
        play(args)
    rates = read(args)
    cells = [(e, s, p) for e in args.encoders for s in args.searches for p in args.policies]
    seeds = complete(rates, cells, args.tasks)
    if not seeds:
        print("nothing is complete yet: every cell needs two seeds of one task")
        return
    counts = ", ".join(f"{task} {len(of_task)}" for task, of_task in seeds.items())
    print(
        f"\nrig {args.rig}; seeds: {counts}; {args.trials} trials a policy and seed, after {args.episodes} episodes\n"
    )
    print("\n".join((grid_table if len(args.encoders) == 1 else encoder_table)(rates, args, seeds)))


if __name__ == "__main__":
    main()

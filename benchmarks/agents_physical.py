"""Compares agents on the simulated tasks: real contacts, a stand-in for the learned prior, the oracle's graded reward.

    python benchmarks/agents_physical.py --folder runs/agents-physical [--tasks PickCup …] [--seeds 20] [--trials 20]
    python benchmarks/agents_physical.py --folder runs/agents-physical --table-only

The folder is one of ``agents_sweep``; the tables use what every agent of them has played.

Every agent meets the same scenes, in fine-tuning and in evaluation; agents with the same search share its episodes.
Named beforehand: the primary measure is the pooled success rate (every task weighs the same) of the policy frozen
after 30 episodes, on fresh scenes of the training objects, and the number of episodes to the level that ``deft``
reaches after 30. Intervals are 95 % bootstraps of paired differences, seeds resampled within tasks: they speak of
these tasks, not of others. P values at 30 are of a paired t test, corrected by Holm over the agents of the table.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import agents_sweep
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from deft_agents import split_name
from deft_env import registries
from deft_env.episode import generator
from deft_experiments import statistics, sweep
from deft_experiments.config import RunConfig
from deft_experiments.evaluate import PRIOR_ALONE

MARKS = (10, 15, 20, 30)
REFERENCE = "deft"
AGENTS = (
    "deft", "cem+elite-mean", "gp+argmax", "gp+cvae", "cma-mirrored+recommend", "ng:DiagonalCMA+recommend",
    "random+best-seen",
)  # fmt: skip
Rates = dict[str, dict[int, NDArray[np.float64]]]
"""Agent -> seed -> success rate (4,) at the marks; NaN where a mark other than the last was not evaluated."""


def play(args: argparse.Namespace) -> None:
    """Plays what the folder lacks."""

    def prior(job: sweep.Job) -> bool:
        # The untouched prior belongs to the reference's runs, so that agents added later do not play it again.
        return split_name(job.config.agent)[0] == split_name(REFERENCE)[0]

    base = RunConfig(args.tasks[0])
    agents_sweep.play(args, [base], args.agents, after=MARKS, splits=args.splits, prior=prior)


@dataclass(frozen=True)
class Results:
    """What the folder holds: success rates by task, agent and seed, and those of the untouched prior by task."""

    by_task: dict[str, Rates]
    prior: dict[str, NDArray[np.float64]]


def read(args: argparse.Namespace) -> Results:
    """Success on the first of ``--splits``; only seeds for which every agent of the table is complete."""
    found: dict[tuple[str, str, str, int, int], float] = {}
    for r in agents_sweep.read(args, args.splits[0]):
        search = "" if r["policy"] == PRIOR_ALONE else split_name(r["agent"])[0]
        found[(r["task"], search, r["policy"], r["after"], r["seed"])] = r["success_rate"]
    wanted = range(args.first_seed, args.first_seed + args.seeds)
    by_task: dict[str, Rates] = {}
    prior: dict[str, NDArray[np.float64]] = {}
    for task in args.tasks:
        rates: Rates = {}
        for agent in args.agents:
            search, policy = split_name(agent)
            curves = {s: [found.get((task, search, policy, m, s)) for m in MARKS] for s in wanted}
            rates[agent] = {s: np.array(c, dtype=np.float64) for s, c in curves.items() if c[-1] is not None}
        common = sorted(set.intersection(*(set(of_seed) for of_seed in rates.values())))
        if len(common) < 2:
            continue
        by_task[task] = {agent: {s: of_seed[s] for s in common} for agent, of_seed in rates.items()}
        untouched = [found[key] for s in common if (key := (task, "", PRIOR_ALONE, 0, s)) in found]
        prior[task] = np.array(untouched, dtype=np.float64)
    return Results(by_task, prior)


def differences(results: Results, agent: str, mark: int, reference_mark: int) -> list[NDArray[np.float64]]:
    """Per task (seeds,): success of ``agent`` at ``mark`` minus that of the reference at ``reference_mark``."""
    i, j = MARKS.index(mark), MARKS.index(reference_mark)
    return [
        np.array([curve[i] - rates[REFERENCE][s][j] for s, curve in rates[agent].items()])
        for rates in results.by_task.values()
    ]


def p_value(by_task: list[NDArray[np.float64]]) -> float:
    """Two-sided p value of the mean over tasks being zero, from the spread of seeds within tasks."""
    variance = sum(d.var(ddof=1) / len(d) for d in by_task) / len(by_task) ** 2
    if variance == 0.0:
        return 1.0
    mean = float(np.mean([d.mean() for d in by_task]))
    return float(2 * stats.t.sf(abs(mean) / np.sqrt(variance), sum(len(d) - 1 for d in by_task)))


def _measured(by_task: list[NDArray[np.float64]]) -> bool:
    return not any(np.isnan(d).any() for d in by_task)


def _interval(by_task: list[NDArray[np.float64]], *words: str | int) -> statistics.Interval:
    return statistics.stratified_bootstrap(by_task, generator("agents_physical", *words))


def _shown(by_task: list[NDArray[np.float64]], *words: str | int) -> str:
    if not _measured(by_task):
        return "–"
    interval = _interval(by_task, *words)
    return f"{interval.estimate:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def to_level(results: Results, agent: str) -> tuple[str, str]:
    """First mark with a pooled success of at least the reference's at 30; and first with an interval above it."""
    reached = clearly = "–"
    for mark in reversed(MARKS):
        by_task = differences(results, agent, mark, MARKS[-1])
        if not _measured(by_task):
            continue
        interval = _interval(by_task, agent, mark, "level")
        reached = str(mark) if interval.estimate >= 0 else reached
        clearly = str(mark) if interval.low > 0 else clearly
    return reached, clearly


def pooled_table(results: Results, agents: list[str]) -> list[str]:
    """The headline."""
    last = MARKS[-1]
    others = [a for a in agents if a != REFERENCE]
    p_values: dict[str, float] = {}
    if others:
        adjusted = statistics.holm([p_value(differences(results, a, last, last)) for a in others])
        p_values = {agent: float(p) for agent, p in zip(others, adjusted, strict=True)}
    head = " | ".join(map(str, MARKS))
    lines = [
        f"| agent | {head} | 15, minus `deft` at 15 | 30, minus `deft` at 30 | Holm p | "
        "first at `deft`'s 30 | first clearly above |",
        "|---" * (len(MARKS) + 6) + "|",
    ]
    for agent in agents:
        means = np.mean([np.mean(list(rates[agent].values()), axis=0) for rates in results.by_task.values()], axis=0)
        row = [f"`{agent}`", *("–" if np.isnan(m) else f"{m:.3f}" for m in means)]
        if agent == REFERENCE:
            row += ["", "", "", str(last), "–"]
        else:
            row += [_shown(differences(results, agent, m, m), agent, m) for m in (15, last)]
            row += [f"{p_values[agent]:.2g}", *to_level(results, agent)]
        lines.append("| " + " | ".join(row) + " |")
    return lines


def task_table(results: Results, agents: list[str]) -> list[str]:
    """Task by task: success after 15 / 30, with the interval of the difference at 30 for our own agents."""
    lines = ["| task | seeds | prior alone | " + " | ".join(f"`{a}`" for a in agents) + " |"]
    lines.append("|---" * (len(agents) + 3) + "|")
    for task, rates in results.by_task.items():
        row = [
            task,
            str(len(rates[agents[0]])),
            f"{results.prior[task].mean():.2f}" if len(results.prior[task]) else "–",
        ]
        for agent in agents:
            curves = np.array(list(rates[agent].values()))
            cell = " / ".join("–" if np.isnan(m) else f"{m:.2f}" for m in curves[:, [1, -1]].mean(axis=0))
            if agent != REFERENCE:
                d = curves[:, -1] - np.array([c[-1] for c in rates[REFERENCE].values()])
                interval = statistics.t_interval(d)
                cell += "*" if interval.low > 0 else "†" if interval.high < 0 else ""
            row.append(cell)
        lines.append("| " + " | ".join(row) + " |")
    return lines


def main() -> None:
    """Plays what is missing and prints the tables."""
    parser = agents_sweep.arguments(__doc__, "runs/agents-physical", registries.TASK_WORDS, seeds=20, block=10)
    parser.add_argument("--agents", nargs="+", default=list(AGENTS))
    parser.add_argument("--splits", nargs="+", default=["train"], help="evaluated; the tables show the first")
    parser.add_argument("--quick", action="store_true", help="one task, two seeds, three agents: minutes, no claim")
    args = parser.parse_args()
    if args.quick:
        args.tasks, args.seeds, args.trials, args.agents = ["PickCup"], 2, 4, ["deft", "gp+argmax", "random+best-seen"]
    if not args.table_only:
        play(args)
    if REFERENCE not in args.agents:
        return
    results = read(args)
    if not results.by_task:
        print("nothing is complete yet: every agent needs two seeds of one task")
        return
    print(f"\n{len(results.by_task)} task(s), {args.trials} trials a policy and seed, split {args.splits[0]}\n")
    print("\n".join(pooled_table(results, args.agents)))
    print(
        "\nSuccess after 15 / 30 episodes; * the 95 % t interval over seeds of the difference to `deft` at 30 is above"
    )
    print("zero, † below (not corrected for the number of cells).\n")
    print("\n".join(task_table(results, args.agents)))


if __name__ == "__main__":
    main()

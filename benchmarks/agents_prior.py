"""What fine-tuning adds to priors of different quality: the simulated prior with 0 to 1 of its calibrated error.

    python benchmarks/agents_prior.py --folder runs/agents-prior [--scales 0 0.25 0.5 0.75 1] [--picture gain.png]
    python benchmarks/agents_prior.py --folder … --table-only

Each scale has a folder of ``agents_sweep`` below ``--folder``. Success of the prior alone and of policies after 30
episodes on the same fresh scenes of the training objects; differences are paired by seed, every task weighing the same.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import agents_sweep
import numpy as np
from numpy.typing import NDArray

from deft_agents import split_name
from deft_env.registries import TASK_WORDS
from deft_experiments import statistics, sweep
from deft_experiments.config import RunConfig
from deft_experiments.evaluate import PRIOR_ALONE

AGENTS = ("deft", "cem+elite-mean", "gp+argmax")
EPISODES = 30
Rates = dict[str, NDArray[np.float64]]
"""Policy -> (tasks, seeds) success."""


def of_scale(args: argparse.Namespace, scale: float) -> argparse.Namespace:
    """The arguments of a scale's folder."""
    return argparse.Namespace(**{**vars(args), "folder": args.folder / f"scale-{scale:g}"})


def alone(job: sweep.Job) -> bool:
    """The prior is evaluated once for each task and seed."""
    return split_name(job.config.agent)[0] == split_name(AGENTS[0])[0]


def rates(args: argparse.Namespace) -> Rates:
    """Success of the prior alone and of each agent, of tasks and seeds that have all of them."""
    wanted = {split_name(agent): agent for agent in args.agents}
    found: dict[tuple[str, str, int], float] = {}
    for row in agents_sweep.read(args, "train"):
        made = (split_name(row["agent"])[0], row["policy"])
        name = PRIOR_ALONE if row["policy"] == PRIOR_ALONE else wanted.get(made)
        if row["after"] in (0, EPISODES) and name is not None:
            found[name, row["task"], row["seed"]] = row["success_rate"]
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    names = [PRIOR_ALONE, *args.agents]
    whole = [s for s in seeds if all((name, t, s) in found for name in names for t in args.tasks)]
    return {name: np.array([[found[name, t, s] for s in whole] for t in args.tasks]) for name in names}


def span(values: NDArray[np.float64]) -> str:
    """Mean over tasks of (tasks, seeds), with a 95 % t interval over seeds."""
    i = statistics.t_interval(values.mean(axis=0))
    return f"{i.estimate:+.3f} [{i.low:+.3f}, {i.high:+.3f}]"


def table(found: dict[float, Rates], agents: list[str]) -> list[str]:
    """A row a scale, every task weighing the same."""
    lines = ["| error | prior alone | " + " | ".join(f"`{a}` | minus the prior" for a in agents) + " |"]
    lines.append("|---" * (2 + 2 * len(agents)) + "|")
    for scale, rate in found.items():
        prior = rate[PRIOR_ALONE]
        cells = [f"{rate[a].mean():.3f} | {span(rate[a] - prior)}" for a in agents]
        lines.append(f"| {scale:g} | {prior.mean():.3f} | {' | '.join(cells)} |")
    return lines


def picture(found: dict[float, Rates], agents: list[str], path: Path) -> None:
    """Gain over the prior alone by the prior's own success: a point a task and scale, a line through bins."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(agents), figsize=(4.2 * len(agents), 3.8), sharey=True, squeeze=False)
    for axis, agent in zip(axes[0], agents, strict=True):
        x = np.concatenate([rate[PRIOR_ALONE].mean(axis=1) for rate in found.values()])
        y = np.concatenate([(rate[agent] - rate[PRIOR_ALONE]).mean(axis=1) for rate in found.values()])
        axis.axhline(0.0, color="0.6", linewidth=0.8)
        axis.plot([0.0, 1.0], [1.0, 0.0], color="0.6", linewidth=0.8, linestyle=":")
        for scale, rate in found.items():
            gain = (rate[agent] - rate[PRIOR_ALONE]).mean(axis=1)
            axis.scatter(rate[PRIOR_ALONE].mean(axis=1), gain, s=22, label=f"{scale:g} of the error")
        edges = np.linspace(0.0, 1.0, 6)
        bins = [(x >= a) & (x <= b) for a, b in pairwise(edges)]
        means = [(x[m].mean(), y[m].mean()) for m in bins if m.any()]
        axis.plot(*np.array(means).T, color="black", linewidth=1.5)
        axis.set(title=agent, xlabel="success of the prior alone", xlim=(-0.03, 1.03))
    axes[0, 0].set_ylabel(f"gain after {EPISODES} episodes")
    axes[0, -1].legend(fontsize=8, frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    print(f"-> {path}")


def main() -> None:
    """Plays what is missing, prints a table and draws a picture."""
    parser = agents_sweep.arguments(__doc__, "runs/agents-prior", tuple(TASK_WORDS), seeds=10, block=5)
    parser.add_argument("--scales", nargs="+", type=float, default=[0.0, 0.25, 0.5, 0.75, 1.0])
    parser.add_argument("--agents", nargs="+", default=list(AGENTS))
    parser.add_argument("--picture", type=Path, default=None, help="a file to draw, such as gain.png")
    args = parser.parse_args()
    found: dict[float, Rates] = {}
    for scale in args.scales:
        mine = of_scale(args, scale)
        if not args.table_only:
            base = RunConfig(args.tasks[0], prior_options={"scale": scale}, episodes=EPISODES)
            agents_sweep.play(mine, [base], args.agents, after=(EPISODES,), splits=("train",), prior=alone)
        if mine.folder.exists() and (rate := rates(mine))[PRIOR_ALONE].shape[1] > 1:
            found[scale] = rate
    if not found:
        print("nothing is complete yet: a scale needs two seeds of every task")
        return
    counts = ", ".join(f"{scale:g}: {rate[PRIOR_ALONE].shape[1]}" for scale, rate in found.items())
    print(f"\n{len(args.tasks)} tasks, {args.trials} trials a policy and seed; seeds by scale: {counts}\n")
    print("\n".join(table(found, args.agents)))
    if args.picture is not None:
        picture(found, args.agents, args.picture)


if __name__ == "__main__":
    main()

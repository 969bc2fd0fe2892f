"""What a model knows of a run from its first episodes; nothing is played.

    python benchmarks/agents_offline.py --folder runs/agents-physical [--seeds 10] [--choose]

Takes the fine-tuning episodes of a folder of sweeps, whatever search asked for them, fits models to the first 5, 10,
15 and 20 episodes of each run and predicts the scores of the rest: root mean square error, log density and rank
correlation, each the mean over runs. Differences in rank correlation are to the first row, with 95 % intervals over
(task, seed). ``--choose`` compares forty settings of the model and shows which one all other tasks choose for a task;
it takes minutes.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from deft_agents.search.base import Told
from deft_agents.search.gp import model_of
from deft_agents.search.gp_model import GPConfig
from deft_agents.search.gp_trained import TRAINED, steadying
from deft_env import grasp
from deft_experiments.store import Store

Array = NDArray[np.float64]
COUNTS = (5, 10, 15, 20)
EPISODES = 30


@dataclass(frozen=True)
class Run:
    """The fine-tuning episodes of one run, oldest first."""

    task: str
    search: str
    seed: int
    z: Array
    priors: Array
    rewards: Array
    subgoals: Array


Predict = Callable[[Run, int], tuple[Array, Array]]
"""Means and deviations of the rewards after the first n."""


def read(folder: Path, seeds: int) -> list[Run]:
    """Whole runs of the first seeds."""
    with Store(folder, "r") as store:
        rows = store.rows(
            "SELECT task, agent, seed, residual, prior_grasp, reward_told, subgoals FROM episodes"
            " WHERE NOT voided AND seed < ? AND reward_told IS NOT NULL ORDER BY run, k",
            (seeds,),
        )
    found: dict[tuple[str, str, int], list[dict[str, object]]] = {}
    for r in rows:
        found.setdefault((str(r["task"]), str(r["agent"]).partition("+")[0], int(r["seed"])), []).append(dict(r))
    runs = []
    for (task, search, seed), mine in found.items():
        if len(mine) != EPISODES:
            continue
        parts = [dict(json.loads(str(r["subgoals"]) or "[]")) for r in mine]
        names = list(parts[int(np.argmax([len(part) for part in parts]))])
        runs.append(
            Run(
                task,
                search,
                seed,
                np.array([json.loads(str(r["residual"])) for r in mine]) / grasp.SIGMA,
                np.array([json.loads(str(r["prior_grasp"])) for r in mine]),
                np.array([float(str(r["reward_told"])) for r in mine]),
                np.array([np.mean([float(bool(p.get(n))) for n in names] or [0.0]) for p in parts]),
            )
        )
    return runs


def told_of(z: Array, rewards: Array) -> Told:
    """As a search remembers them."""
    told = Told(len(z))
    for i, (point, reward) in enumerate(zip(z, rewards, strict=True)):
        told.add(i, point, float(reward))
    return told


def predictor(config: GPConfig, *, plain: bool = False, subgoals: bool = False) -> Predict:
    """The model of the searches: of ``gp`` where ``plain``, otherwise in the coordinates of ``gp-trained``, ungated."""

    def predict(run: Run, n: int) -> tuple[Array, Array]:
        rewards = 0.5 * (run.rewards + run.subgoals) if subgoals else run.rewards
        points = run.z if plain else run.z + steadying(run.priors[:n], 0.5).shift(run.priors)
        model = model_of(told_of(points[:n], rewards[:n]), config)
        mean, deviation = model.predict(points[n:])
        noise = float(model.weights @ model.variance) * config.noise[0]
        return model.offset + model.scale * mean, model.scale * np.sqrt(deviation**2 + noise)

    return predict


def measure(predict: Predict, runs: Sequence[Run]) -> Array:
    """Squared error, log density, rank correlation (run, count, 3); NaN where all rewards are the same."""
    out = np.full((len(runs), len(COUNTS), 3), np.nan)
    for i, run in enumerate(runs):
        for j, n in enumerate(COUNTS):
            mean, deviation = predict(run, n)
            rest, deviation = run.rewards[n:], np.maximum(deviation, 0.05)
            density = -0.5 * ((rest - mean) / deviation) ** 2 - np.log(deviation) - 0.5 * np.log(2 * np.pi)
            rank = stats.spearmanr(mean, rest)[0] if rest.std() > 0 and mean.std() > 0 else np.nan
            out[i, j] = ((rest - mean) ** 2).mean(), density.mean(), rank
    return out


def by_pair(values: Array, runs: Sequence[Run]) -> Array:
    """Means over the searches of each (task, seed)."""
    keys = [(r.task, r.seed) for r in runs]
    return np.array([np.nanmean(values[[k == key for k in keys]], axis=0) for key in sorted(set(keys))])


def row(name: str, values: Array, first: Array, runs: Sequence[Run]) -> str:
    """One line of the table."""
    mine, base = by_pair(values, runs), by_pair(first, runs)
    cells = [name]
    for j in range(len(COUNTS)):
        d = mine[:, j, 2] - base[:, j, 2]
        half = 1.96 * np.nanstd(d, ddof=1) / np.sqrt(np.isfinite(d).sum())
        error, density, rank = np.sqrt(np.nanmean(mine[:, j, 0])), np.nanmean(mine[:, j, 1]), np.nanmean(mine[:, j, 2])
        cells.append(f"{error:.3f}, {density:.2f}, {rank:.3f} ({np.nanmean(d):+.3f} ± {half:.3f})")
    return "| " + " | ".join(cells) + " |"


def choose(runs: Sequence[Run], tasks: Sequence[str]) -> None:
    """Which of forty settings eight tasks choose, by log density after 10, 15 and 20 episodes, for the ninth."""
    lengths = (((1.5, 3.0, 8.0), (10.0, 30.0, 100.0)), ((2.0, 4.0, 8.0), (5.0, 10.0, 30.0)))
    noises = (0.3, 0.5, 0.8, 1.2)
    drops = ((1.0, 2.0, 0.5), (1.0, 1.0, 0.2), (1.0, 1.0, 0.0), (1.5, 0.8, 0.0), (2.0, 1.0, 0.0))
    settings = [
        GPConfig(wrist=wrist, fingers=fingers, noise=(noise,), drop=drop)
        for (wrist, fingers), noise, drop in itertools.product(lengths, noises, drops)
    ]
    values = np.array([measure(predictor(c), runs)[:, 1:] for c in settings])
    of = np.array([run.task for run in runs])
    per_task = np.array([np.nanmean(values[:, of == t], axis=(1, 2)) for t in tasks])  # (task, setting, 3)
    gains = []
    for i, task in enumerate(tasks):
        best = int(np.argmax(np.delete(per_task, i, axis=0)[:, :, 1].mean(axis=0)))
        gains.append(per_task[i, best] - per_task[i, 0])
        c = settings[best]
        print(f"{task}: noise {c.noise[0]}, drop {c.drop}, wrist {c.wrist}; density {gains[-1][1]:+.3f}", end="")
        print(f", rank correlation {gains[-1][2]:+.3f}")
    print("mean over tasks: density {1:+.3f}, rank correlation {2:+.3f}".format(*np.mean(gains, axis=0)))


def main() -> None:
    """Prints one Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/agents-physical"))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--choose", action="store_true")
    args = parser.parse_args()
    runs = read(args.folder, args.seeds)
    tasks = sorted({run.task for run in runs})

    rows: dict[str, Predict] = {
        "`gp`": predictor(GPConfig(), plain=True),
        "the settings of `gp`, scatter undone": predictor(GPConfig()),
        "the settings of `gp-trained`, plain residuals": predictor(TRAINED, plain=True),
        "`gp-trained`": predictor(TRAINED),
        "`gp-trained`, told the mean of score and sub-goals": predictor(TRAINED, subgoals=True),
    }
    print(f"{len(runs)} runs of {len(tasks)} tasks: root mean square error, log density, rank correlation\n")
    print("| model | " + " | ".join(f"{n} episodes" for n in COUNTS) + " |\n|---" + "|---" * len(COUNTS) + "|")
    first: Array | None = None
    for name, predict in rows.items():
        values = measure(predict, runs)
        first = values if first is None else first
        print(row(name, values, first, runs), flush=True)
    if args.choose:
        choose(runs, tasks)


if __name__ == "__main__":
    main()

"""Compares agents on SYNTHETIC landscapes: nothing is grasped, no figure here says anything about a robot or physics.

    python benchmarks/agents_landscape.py [--seeds 8] [--agents deft gp+argmax …] [--json FILE]

Eight settings (four shapes, six or twelve informative coordinates; prior error of 2 sigma) of the landscape rig, with
the simulated prior; the agents' features are the scene's descriptor, a stand-in for an image encoding. Every agent
meets the same scenes. Policies are judged by their mean score on 60 fresh training scenes after 10, 15, 20 and 30
episodes; rewards come in steps of 0.1. Intervals are t over settings x seeds of the paired difference to ``deft``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from deft_agents import make_agent
from deft_env.episode import Context, EpisodeKey, Status, generator
from deft_env.prior.simulated import SimulatedPrior
from deft_mocks.landscape import LandscapeConfig, LandscapeRig

EPISODES = 30
MARKS = (10, 15, 20, 30)
SETTINGS = [
    LandscapeConfig(shape=shape, informative=informative, difficulty=1.2)
    for shape in ("bowl", "ridge", "cliff", "modes")
    for informative in (6, 12)
]
TASKS = ("PickCup", "PourCup", "OpenDrawer", "PickSpoon", "StirSpoon", "ScoopGrape", "PickGrape", "FlipBagel")
AGENTS = (
    "deft", "cem+elite-mean", "cem+argmax", "cem-logrank", "random+best-seen", "sobol+best-seen", "cma", "sep-cma",
    "cma-mirrored", "ws-cma", "ng:OnePlusOne", "ng:PSO", "ng:DE", "gp+argmax", "gp+elite-mean", "gp+cvae",
)  # fmt: skip


def scenes(rig: LandscapeRig, keys: list[EpisodeKey]) -> list[Context]:
    """Resets the rig and returns what an agent sees of each scene."""
    frames = rig.reset_batch(keys)
    priors = SimulatedPrior()(frames, rig.task(keys[0].task))
    assert frames.truths is not None
    return [Context(xi, truth.descriptor, "descriptor") for xi, truth in zip(priors, frames.truths, strict=True)]


def evaluate(rig: LandscapeRig, policy: object, task: str, seed: int, trials: int = 60) -> float:
    """Mean score of a frozen policy (None: the prior alone) on fresh training scenes."""
    keys = [EpisodeKey(task, "train", "eval", seed, k) for k in range(trials)]
    contexts = scenes(rig, keys)
    grasps = np.array([c.prior for c in contexts])
    if callable(policy):
        grasps = grasps + policy(contexts, [generator("benchmark", seed, k) for k in range(trials)])
    outcomes = rig.execute_batch(grasps, [rig.task(task).demonstration] * trials)
    return float(np.mean([outcome.score for outcome in outcomes]))


def run(name: str, setting: int, seed: int) -> NDArray[np.float64]:
    """Scores (4,) of the frozen policy at the marks."""
    rig, task = LandscapeRig(SETTINGS[setting]), TASKS[seed % len(TASKS)]
    agent = make_agent(name, seed=seed, budget=EPISODES)
    scores = []
    for k in range(EPISODES):
        (context,) = scenes(rig, [EpisodeKey(task, "train", "train", seed, k)])
        trial = agent.ask(context)
        (outcome,) = rig.execute_batch((context.prior + trial.residual)[None], [rig.task(task).demonstration])
        reward = round(10 * (outcome.score or 0.0)) / 10 if outcome.status is Status.COMPLETED else 0.0
        agent.tell(trial, reward, outcome.status)
        if k + 1 in MARKS:
            scores.append(evaluate(rig, agent.freeze(), task, seed))
    return np.array(scores)


def main() -> None:
    """Runs all and prints one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--agents", nargs="+", default=list(AGENTS))
    parser.add_argument("--json", type=Path, help="write every run's scores here")
    arguments = parser.parse_args()
    cells = [(setting, seed) for setting in range(len(SETTINGS)) for seed in range(arguments.seeds)]
    prior = [evaluate(LandscapeRig(SETTINGS[setting]), None, TASKS[seed % len(TASKS)], seed) for setting, seed in cells]
    print(f"synthetic landscapes, {len(cells)} runs an agent; the untouched prior scores {np.mean(prior):.3f}\n")
    print("| agent | 10 | 15 | 20 | 30 | 30, minus `deft` (95 %) |\n|---|---|---|---|---|---|", flush=True)
    results: dict[str, NDArray[np.float64]] = {}
    for name in dict.fromkeys(["deft", *arguments.agents]):
        results[name] = np.array([run(name, setting, seed) for setting, seed in cells])
        difference = results[name][:, -1] - results["deft"][:, -1]
        half = stats.t.ppf(0.975, len(cells) - 1) * difference.std(ddof=1) / np.sqrt(len(cells))
        means = " | ".join(f"{mean:.3f}" for mean in results[name].mean(axis=0))
        print(f"| `{name}` | {means} | {difference.mean():+.3f} ± {half:.3f} |", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({name: scores.tolist() for name, scores in results.items()}) + "\n")


if __name__ == "__main__":
    main()

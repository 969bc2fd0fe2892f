"""Microseconds per ask and tell of every agent, beside the bare library's in the same run.

    python benchmarks/agents_overhead.py [--repeats 7] [--slow] [--json FILE]

Each figure is the processor time of the fastest of several whole runs of 30 episodes, divided by 30; bare and wrapped
runs alternate, so that a busy machine slows both. Making the agent is not counted. Times are not asserted anywhere:
read the ratios. Last come the seconds that fitting each policy to 30 episodes takes.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from deft_agents import list_agents, make_agent
from deft_env import grasp
from deft_env.episode import Context, generator

EPISODES = 30
CONTEXT = Context(np.zeros(grasp.DIM))


def loss(z: Any) -> float:
    """A bowl; the same cheap work on both sides."""
    return float(((z - 0.5) ** 2).sum())


def wrapped(name: str, seed: int) -> float:
    """Seconds of one run through the interface."""
    agent = make_agent(name, seed=seed, budget=EPISODES, reward_range=(-np.inf, 0.0))
    start = time.thread_time()
    for _ in range(EPISODES):
        trial = agent.ask(CONTEXT)
        agent.tell(trial, -loss(trial.residual))
    return time.thread_time() - start


def fit(policy: str) -> float:
    """Seconds to fit a policy to 30 random episodes with six features."""
    agent = make_agent(f"random+{policy}", seed=0, budget=EPISODES)
    for k in range(EPISODES):
        rng = generator("agents_overhead", k)
        trial = agent.ask(Context(rng.random(grasp.DIM), rng.random(6), "noise"))
        agent.tell(trial, float(rng.random()))
    start = time.thread_time()
    agent.freeze()
    return time.thread_time() - start


def bare_pycma(seed: int, diagonal: bool) -> float:
    """Seconds of one run of pycma, ten at a time."""
    import cma

    options = {"popsize": 10, "verbose": -9, "verb_log": 0, "seed": seed + 1, "CMA_diagonal": diagonal}
    strategy = cma.CMAEvolutionStrategy([0.0] * grasp.DIM, 1.0, options)
    start = time.thread_time()
    for _ in range(EPISODES // 10):
        points = strategy.ask()
        strategy.tell(points, [loss(point) for point in points])
    return time.thread_time() - start


def bare_cmaes(seed: int, kind: str) -> float:
    """Seconds of one run of cmaes, ten at a time."""
    import cmaes

    bounds = np.array([[-4.0, 4.0]] * grasp.DIM)
    strategy = getattr(cmaes, kind)(mean=np.zeros(grasp.DIM), sigma=1.0, bounds=bounds, seed=seed, population_size=10)
    start = time.thread_time()
    for _ in range(EPISODES // 10):
        points = [strategy.ask() for _ in range(10)]
        strategy.tell([(point, loss(point)) for point in points])
    return time.thread_time() - start


def bare_nevergrad(seed: int, variant: str) -> float:
    """Seconds of one run of nevergrad."""
    import nevergrad

    space = nevergrad.p.Array(shape=(grasp.DIM,))
    space.random_state = np.random.RandomState(seed)
    optimizer = nevergrad.optimizers.registry[variant](parametrization=space, budget=EPISODES, num_workers=1)
    start = time.thread_time()
    for _ in range(EPISODES):
        candidate = optimizer.ask()
        optimizer.tell(candidate, loss(candidate.value))
    return time.thread_time() - start


def bare_sobol(seed: int) -> float:
    """Seconds of one run of SciPy's sequence."""
    from scipy.stats import qmc

    engine = qmc.Sobol(grasp.DIM, scramble=True, rng=seed)
    start = time.thread_time()
    for _ in range(EPISODES):
        loss(engine.random(1)[0])
    return time.thread_time() - start


def bare(name: str) -> Callable[[int], float] | None:
    """What the agent wraps, if it wraps a library."""
    if name.startswith("ng:"):
        return lambda seed: bare_nevergrad(seed, name[3:])
    known: dict[str, Callable[[int], float]] = {
        "sobol": bare_sobol,
        "cma": lambda seed: bare_pycma(seed, False),
        "cma-mirrored": lambda seed: bare_pycma(seed, True),
        "sep-cma": lambda seed: bare_cmaes(seed, "SepCMA"),
        "ws-cma": lambda seed: bare_cmaes(seed, "CMA"),
    }
    return known.get(name)


def main() -> None:
    """Measures and prints one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--slow", action="store_true", help="also the agents marked slow (one run each)")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows: list[dict[str, object]] = []
    print("| search | µs per episode (ask + tell) | bare library | added |\n|---|---|---|---|", flush=True)
    for info in list_agents():
        if info.kind != "search" or not info.available or (info.slow and not arguments.slow):
            continue
        library = bare(info.name)
        ours: list[float] = []
        theirs: list[float] = []
        if not info.slow:  # first run: imports and caches
            wrapped(info.name, 0)
            if library:
                library(0)
        for repeat in range(1 if info.slow else arguments.repeats):
            ours.append(wrapped(info.name, repeat) / EPISODES * 1e6)
            if library:
                theirs.append(library(repeat) / EPISODES * 1e6)
        row = {"search": info.name, "us": min(ours), "bare_us": min(theirs) if theirs else None}
        rows.append(row)
        library_us = f"{min(theirs):.0f}" if theirs else "–"
        added = f"{min(ours) - min(theirs):.0f}" if theirs else "–"
        print(f"| `{info.name}` | {min(ours):.0f} | {library_us} | {added} |", flush=True)
    print("\n| policy | s a fit to 30 episodes, on one core |\n|---|---|", flush=True)
    for info in list_agents():
        if info.kind == "policy" and info.available:
            seconds = min(fit(info.name) for _ in range(4))
            rows.append({"policy": info.name, "s": seconds})
            print(f"| `{info.name}` | {seconds:.3f} |", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()

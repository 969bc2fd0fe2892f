"""What the loop costs beside the episodes: microseconds an episode on the landscape, and ratios between the variants.

    python benchmarks/loop_overhead.py

Prints; asserts nothing. The landscape rig itself takes tens of microseconds an episode, so that what is left is ours.
CPU time of the process, which other work on the machine disturbs little, and wall time, in which writing to the disk is
waited for; each the least of five.
"""

from __future__ import annotations

import functools
import tempfile
import time
from pathlib import Path

import numpy as np

from deft_agents import make_agent
from deft_env import grasp
from deft_env.episode import Context, EpisodeKey
from deft_experiments.config import RunConfig
from deft_experiments.lockstep import Lockstep
from deft_experiments.parts import Parts, make_parts
from deft_experiments.run import Run
from deft_experiments.store import Store

EPISODES = 30
REPEATS = 5


Spent = tuple[float, float]


class Clock:
    """CPU and wall time since it was made."""

    def __init__(self) -> None:
        """Starts."""
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def spent(self, episodes: int) -> Spent:
        """Seconds of CPU and of wall time an episode."""
        return (time.process_time() - self._cpu) / episodes, (time.perf_counter() - self._wall) / episodes


def bare(parts: Parts, config: RunConfig) -> Spent:
    """Reset, prior and execution of the rig alone, one episode at a time: CPU and wall seconds an episode."""
    run_keys = [EpisodeKey(config.task, "train", "train", config.seed, k) for k in range(EPISODES)]
    clock = Clock()
    for key in run_keys:
        frames = parts.rig.reset_batch([key])
        xi = parts.prior(frames, parts.task)
        parts.rig.execute_batch(xi, [parts.task.demonstration])
    return clock.spent(EPISODES)


def ask_tell(agent: str) -> Spent:
    """Ask and tell of an agent: CPU and wall seconds an episode."""
    made = make_agent(agent, seed=0, budget=EPISODES)
    context = Context(np.zeros(grasp.DIM))
    rewards = np.random.default_rng(0).random(EPISODES)
    clock = Clock()
    for reward in rewards:
        made.tell(made.ask(context), float(reward))
    return clock.spent(EPISODES)


def loop(parts: Parts, config: RunConfig, *, runs: int, every_event: bool, durable: bool) -> Spent:
    """The whole loop, store included: CPU and wall seconds an episode."""
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder), "w", durable=durable) as store:
        opened = []
        for seed in range(runs):
            one = RunConfig.from_dict({**config.as_dict(), "seed": seed})
            opened.append(Run(one, functools.partial(parts.agent, one), store))
        lockstep = Lockstep(opened, parts, store, every_event=every_event)
        clock = Clock()
        lockstep.run_to_end()
        return clock.spent(runs * EPISODES)


def main() -> None:
    """Measures and prints."""
    config = RunConfig("PickCup", agent="cem", rig="landscape", episodes=EPISODES)
    with make_parts(config) as parts:
        measured = {
            "rig and prior alone, one at a time": lambda: bare(parts, config),
            "cem: ask + tell": lambda: ask_tell("cem"),
            "loop, 1 run, commit an event, synchronous=FULL": lambda: loop(
                parts, config, runs=1, every_event=True, durable=True
            ),
            "loop, 1 run, commit an event": lambda: loop(parts, config, runs=1, every_event=True, durable=False),
            "loop, 1 run, commit a step": lambda: loop(parts, config, runs=1, every_event=False, durable=False),
            "loop, 40 runs in lockstep, commit a step": lambda: loop(
                parts, config, runs=40, every_event=False, durable=False
            ),
        }
        base = None
        for name, measure in measured.items():
            cpu, wall = np.min([measure() for _ in range(REPEATS)], axis=0)
            base = base or cpu
            print(
                f"{name:<48} {cpu * 1e6:7.0f} µs of CPU ({cpu / base:5.2f} × rig alone), {wall * 1e6:7.0f} µs of wall"
            )


if __name__ == "__main__":
    main()

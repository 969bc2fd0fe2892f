"""Whole episodes a second of the vector environment, beside the bare batch and Gymnasium's own vector environments.

    python benchmarks/env_throughput.py [--tasks PickCup …] [--num-envs 64] [--rounds 6] [--quick]

All figures of a line come from one run in which the things compared take turns, so that a busy machine slows them
alike: read the ratios. The bare batch is ``mujoco.batch.Batch.rollout`` of the very models, states and controls that
the environment has just played, recording nothing: physics alone. Where one thread is compared with one thread, time is
CPU time of the process; everything else is wall time. Variants are compiled before the clock starts; a new size of an
object costs its compilation, once (shown).
"""

from __future__ import annotations

import argparse
import cProfile
import os
import platform
import pstats
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from mujoco import batch

from deft_env import grasp
from deft_env.env import GraspEnv, GraspVectorEnv
from deft_env.episode import generator
from deft_env.registries import TASK_WORDS, tasks
from deft_env.rigs import simulated
from deft_env.sim import execute

SPLIT: dict[str, tuple[tuple[str, str], ...]] = {
    "physics (native threads)": (("mujoco/batch.py", "rollout"),),
    "recording": (("sim/execute.py", "play"),),
    "scenes: draw": (("tasks/task.py", "draw"),),
    "scenes: models": (("sim/scenes.py", "model"),),
    "scenes: truth and prior": (("rigs/simulated.py", "truth"), ("prior/prior.py", "__call__")),
    "controls: inverse kinematics": (("sim/kinematics.py", "solve_path"),),
    "controls: rest of the plan": (("sim/controls.py", "plan"),),
    "judge": (("tasks/", "success"), ("tasks/", "score"), ("tasks/", "subgoals")),
    "pictures: rendering": (("sim/render.py", "rgbd"),),
    "pictures: the observation's": (("deft_env/observation.py", "image"), ("deft_env/observation.py", "depth")),
    "infos and bookkeeping": (),
}
"""Rows of the split, and the functions whose whole time they are."""


class Tap:
    """Keeps what the rig plays, so that the bare batch can play the same."""

    def __init__(self) -> None:
        """Puts itself in the rig's way."""
        self.played: list[tuple[Any, ...]] = []
        self._play = execute.play
        simulated.execute.play = self  # type: ignore[assignment]

    def __call__(self, models: Any, qpos: Any, controls: Any, **keywords: Any) -> execute.Playback:
        """Plays, and keeps the arguments."""
        self.played.append((list(models), qpos, controls, keywords["substeps"]))
        return self._play(models, qpos, controls, **keywords)


def bare(played: list[tuple[Any, ...]], threads: int) -> None:
    """Nothing but physics."""
    for models, qpos, controls, substeps in played:
        worlds = batch.Batch(models[0], len(models), threads)
        worlds.set_models(models)
        worlds.qpos = qpos
        held = np.repeat(controls, substeps, axis=1)
        worlds.rollout(held.shape[1], held, record=())


def compile_all(rig: Any, task: str, bandit: Any) -> None:
    """Compiles every size that 400 scenes have."""
    for k in range(400):
        rig._of(task).base(rig.task(task).draw(bandit.key(100, k)).variant)


def actions(n: int, k: int) -> Any:
    """Residuals (n, 22) of 0.7 sigma."""
    noise = generator("throughput", k).standard_normal((n, grasp.DIM))
    return np.clip(0.7 * noise, -4, 4) * grasp.SIGMA


def timed(work: Callable[[], object], clock: Callable[[], float]) -> float:
    """Seconds of a call."""
    start = clock()
    work()
    return clock() - start


def against_bare(task: str, n: int, rounds: int, threads: int, tap: Tap) -> tuple[float, float]:
    """Seconds an episode of the environment and of the bare batch; CPU time with one thread, else wall time."""
    clock = time.process_time if threads == 1 else time.perf_counter
    envs = GraspVectorEnv(task, num_envs=n, images=False, rig_config={"threads": threads})
    envs.reset(seed=0)
    rig: Any = envs.bandit.rig
    compile_all(rig, task, envs.bandit)
    for k in range(2):
        envs.step(actions(n, k))
    ours, theirs = [], []
    for k in range(rounds):
        tap.played.clear()
        ours.append(timed(partial(envs.step, actions(n, k)), clock))
        theirs.append(timed(partial(bare, tap.played, threads), clock))
    envs.close()
    return float(np.median(ours)) / n, float(np.median(theirs)) / n


def make(task: str, images: bool) -> gym.Env[Any, Any]:
    """One environment, for Gymnasium's vector environments."""
    return GraspEnv(task, images=images, rig_config={"threads": 1})


def against_gymnasium(task: str, n: int, rounds: int, images: bool) -> dict[str, float]:
    """Seconds an episode of ours and of Gymnasium's vector environments of n single ones.

    ``sync``, ``ours``: CPU time, one thread each. ``async`` (n processes), ``ours wall`` (all threads): wall time.
    """
    one = partial(make, task, images)
    same = AutoresetMode.SAME_STEP
    kinds: dict[str, Any] = {
        "ours": GraspVectorEnv(task, num_envs=n, images=images, rig_config={"threads": 1}),
        "ours wall": GraspVectorEnv(task, num_envs=n, images=images),
        "sync": SyncVectorEnv([one] * n, autoreset_mode=same),
        "async": AsyncVectorEnv([one] * n, autoreset_mode=same, context="spawn"),
    }
    bandits = [kinds["ours"].bandit, kinds["ours wall"].bandit, *(env.unwrapped.bandit for env in kinds["sync"].envs)]
    for bandit in bandits:
        compile_all(bandit.rig, task, bandit)
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for envs in kinds.values():
        envs.reset(seed=0)
        envs.step(actions(n, 0))
    for k in range(rounds):
        for name, envs in kinds.items():
            clock = time.process_time if name in ("ours", "sync") else time.perf_counter
            seconds[name].append(timed(partial(envs.step, actions(n, k)), clock))
    for envs in kinds.values():
        envs.close()
    return {name: float(np.median(values)) / n for name, values in seconds.items()}


def split(task: str, n: int, images: bool) -> str:
    """Where the CPU time of an episode goes, as text; a profiler's, so that small rows are overstated."""
    envs = GraspVectorEnv(task, num_envs=n, images=images, rig_config={"threads": 1})
    envs.reset(seed=0)
    compile_all(envs.bandit.rig, task, envs.bandit)
    for k in range(3):
        envs.step(actions(n, k))
    profile = cProfile.Profile(time.process_time)
    profile.enable()
    envs.step(actions(n, 9))
    profile.disable()
    envs.close()
    table: Any = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    total = sum(row[2] for row in table.values())

    def whole(functions: tuple[tuple[str, str], ...]) -> float:
        return sum(
            row[3]
            for (file, _, name), row in table.items()
            if any(place in file and name == function for place, function in functions)
        )

    seconds = {row: whole(functions) for row, functions in SPLIT.items()}
    seconds["recording"] -= seconds["physics (native threads)"]
    seconds["controls: rest of the plan"] -= seconds["controls: inverse kinematics"]
    seconds["infos and bookkeeping"] = total - sum(seconds.values())
    lines = []
    for name, value in seconds.items():
        share = max(value, 0.0) / total
        lines.append(f"{name:32s} {1e3 * value / n:7.3f} ms {100 * share:5.1f} %  {'█' * round(50 * share)}")
    return "\n".join(lines)


def machine() -> str:
    """The machine in a line."""
    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), model)
    return f"{model}, {execute.threads_available()} CPUs, load {os.getloadavg()[0]:.1f} when this began"


def landed(name: str) -> bool:
    """Whether the task can be played."""
    try:
        task = tasks.load(name)()
        return task.demonstration is not None and bool(task.data)
    except (ImportError, FileNotFoundError):
        return False


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=list(TASK_WORDS))
    parser.add_argument("--num-envs", type=int, default=64, help="episodes of a batch, against the bare batch")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--quick", action="store_true", help="batches of 24, 3 rounds; Gymnasium's for one task")
    arguments = parser.parse_args()
    n, rounds = (24, 3) if arguments.quick else (arguments.num_envs, arguments.rounds)
    names = [name for name in arguments.tasks if landed(name)]
    print(f"{machine()}; batches of {n}, median of {rounds} rounds\n")
    tap = Tap()
    print("| task | env, ms of CPU | bare / env, 1 thread | bare / env, 2 threads (wall) | 2 threads / 1 (wall) |")
    print("|---|---|---|---|---|")
    for name in names:
        ours, theirs = against_bare(name, n, rounds, 1, tap)
        ours2, theirs2 = against_bare(name, n, rounds, 2, tap)
        one = wall_of(name, n, rounds)
        print(
            f"| {name} | {1e3 * ours:.1f} | {theirs / ours:.3f} | {theirs2 / ours2:.3f} | {one / ours2:.2f} |",
            flush=True,
        )
    print("\n| task | pictures | ours, ms of CPU | ours / SyncVectorEnv (CPU) | ours / AsyncVectorEnv (wall) |")
    print("|---|---|---|---|---|")
    few = 4 if arguments.quick else 8
    for name in names[:1] if arguments.quick else names:
        for images in (False, True):
            got = against_gymnasium(name, few, rounds, images)
            ratios = f"{got['sync'] / got['ours']:.2f} | {got['async'] / got['ours wall']:.2f}"
            print(f"| {name} | {'yes' if images else 'no'} | {1e3 * got['ours']:.1f} | {ratios} |", flush=True)
    for name in names[:1] if arguments.quick else names:
        for images in (False, True):
            print(f"\n{name}, {'with' if images else 'without'} pictures, one thread:\n\n{split(name, n, images)}")


def wall_of(task: str, n: int, rounds: int) -> float:
    """Wall seconds an episode of the environment with one thread."""
    envs = GraspVectorEnv(task, num_envs=n, images=False, rig_config={"threads": 1})
    envs.reset(seed=0)
    envs.step(actions(n, 0))
    seconds = [timed(partial(envs.step, actions(n, k)), time.perf_counter) for k in range(rounds)]
    envs.close()
    return float(np.median(seconds)) / n


if __name__ == "__main__":
    main()

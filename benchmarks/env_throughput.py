"""Whole episodes a second of the vector environment, beside the bare batch and Gymnasium's own vector environments.

    python benchmarks/env_throughput.py [--tasks PickCup …] [--only bare …] [--num-envs 64] [--rounds 5] [--quick]

What is compared takes turns within a round, so that a busy machine slows all alike; a ratio is the median over rounds
of the ratios within a round. The bare batch is ``mujoco.batch.Batch.rollout`` of the very models, states and controls
that the environment has just played, recording nothing: physics alone (in Pick Grape without breaking stems). Where one
thread is compared with one thread, time is CPU time of the process; with two threads or several processes it is wall
time. Sizes of objects are compiled before the clock starts (1 to 2 ms each, once).

What a second thread gives is measured apart, in many short rounds: the shortest wall time with one thread over the
shortest with two, which other work on the machine falsifies least, and beside it whether the work itself grows (CPU
time with two threads over that with one) and how long the main thread waited for a CPU in the median round.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import platform
import pstats
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
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
        simulated.execute.play = self

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


@dataclass(frozen=True)
class Cost:
    """What a piece of work took: CPU time of the process, wall time, and how much of that the main thread waited."""

    cpu_s: float
    wall_s: float
    wait_s: float


def _waited_s() -> float:
    """Seconds that this thread could have run and had no CPU (Linux; else 0)."""
    stat = Path("/proc/thread-self/schedstat")
    return int(stat.read_text().split()[1]) * 1e-9 if stat.exists() else 0.0


def cost(work: Callable[[], object], episodes: int) -> Cost:
    """Of one episode of a call that plays some."""
    cpu, wall, wait = time.process_time(), time.perf_counter(), _waited_s()
    work()
    spent = time.process_time() - cpu, time.perf_counter() - wall, _waited_s() - wait
    return Cost(*(seconds / episodes for seconds in spent))


Rounds = dict[str, list[Cost]]


def ratio(costs: Rounds, other: str, ours: str, what: str = "cpu_s") -> float:
    """Median over rounds of (other / ours)."""
    pairs = zip(costs[other], costs[ours], strict=True)
    return float(np.median([getattr(a, what) / getattr(b, what) for a, b in pairs]))


def median_ms(costs: Rounds, name: str, what: str = "cpu_s") -> float:
    """Median over rounds, ms."""
    return 1e3 * float(np.median([getattr(one, what) for one in costs[name]]))


def against_bare(task: str, n: int, rounds: int, tap: Tap) -> Rounds:
    """Environment (``env``) and bare batch (``bare``) with 1 and 2 threads, and with pictures (``pictures``)."""
    made = {}
    for threads in (1, 2):
        config = {"threads": threads}
        made[f"env {threads}"] = GraspVectorEnv(task, num_envs=n, images=False, rig_config=config)
    made["pictures 1"] = GraspVectorEnv(task, num_envs=max(4, n // 4), rig_config={"threads": 1})
    for envs in made.values():
        envs.reset(seed=0)
        compile_all(envs.bandit.rig, task, envs.bandit)
        for k in range(5):  # fills the pool of models that are written anew
            envs.step(actions(envs.num_envs, k))
    costs: Rounds = {}
    for k in range(rounds):
        for name, envs in made.items():
            tap.played.clear()
            step = partial(envs.step, actions(envs.num_envs, k))
            costs.setdefault(name, []).append(cost(step, envs.num_envs))
            if name.startswith("env"):
                threads = int(name[-1])
                costs.setdefault(f"bare {threads}", []).append(cost(partial(bare, tap.played, threads), n))
    for envs in made.values():
        envs.close()
    return costs


def make(task: str, images: bool) -> gym.Env[Any, Any]:
    """One environment, for Gymnasium's vector environments; its sizes are compiled."""
    env = GraspEnv(task, images=images, rig_config={"threads": 1})
    compile_all(env.bandit.rig, task, env.bandit)
    return env


def against_gymnasium(task: str, n: int, rounds: int, images: bool) -> Rounds:
    """``ours`` with one thread, ``ours wall`` with all, ``sync`` and ``async`` (n processes) of n single ones."""
    one = partial(make, task, images)
    same = AutoresetMode.SAME_STEP
    kinds: dict[str, Any] = {
        "ours": GraspVectorEnv(task, num_envs=n, images=images, rig_config={"threads": 1}),
        "ours wall": GraspVectorEnv(task, num_envs=n, images=images),
        "sync": SyncVectorEnv([one] * n, autoreset_mode=same),
        "async": AsyncVectorEnv([one] * n, autoreset_mode=same, context="spawn"),
    }
    for name in ("ours", "ours wall"):
        compile_all(kinds[name].bandit.rig, task, kinds[name].bandit)
    for envs in kinds.values():
        envs.reset(seed=0)
        envs.step(actions(n, 0))
    costs: Rounds = {name: [] for name in kinds}
    for k in range(rounds):
        for name, envs in kinds.items():
            costs[name].append(cost(partial(envs.step, actions(n, k)), n))
    for envs in kinds.values():
        envs.close()
    return costs


def split(task: str, n: int, images: bool) -> dict[str, float]:
    """Where the CPU time of an episode goes, ms by row of ``SPLIT``; a profiler's, which overstates small rows."""
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
        """Time of calls that come from outside of the row's functions: a score that asks for success counts once."""

        def listed(file: str, name: str) -> bool:
            return any(place in file and name == function for place, function in functions)

        return sum(
            called[3]
            for (file, _, name), row in table.items()
            if listed(file, name)
            for (caller, _, by), called in row[4].items()
            if not listed(caller, by)
        )

    seconds = {row: whole(functions) for row, functions in SPLIT.items()}
    seconds["recording"] -= seconds["physics (native threads)"]
    seconds["controls: rest of the plan"] -= seconds["controls: inverse kinematics"]
    seconds["infos and bookkeeping"] = total - sum(seconds.values())
    return {name: 1e3 * max(value, 0.0) / n for name, value in seconds.items()}


def bars(parts: dict[str, float]) -> str:
    """A split as text."""
    total = sum(parts.values())
    lines = [
        f"{name:32s} {ms:7.3f} ms {100 * ms / total:5.1f} %  {'█' * round(50 * ms / total)}"
        for name, ms in parts.items()
    ]
    return "\n".join(lines)


def second_thread(task: str, n: int, rounds: int, tap: Tap) -> str:
    """A row of what a second thread gives, for the environment without and with pictures, and for the bare batch."""
    kinds = {"env": False, "pictures": True}
    made = {
        f"{what} {t}": GraspVectorEnv(task, num_envs=n, images=images, rig_config={"threads": t})
        for what, images in kinds.items()
        for t in (1, 2)
    }
    for envs in made.values():
        envs.reset(seed=0)
        compile_all(envs.bandit.rig, task, envs.bandit)
        envs.step(actions(n, 0))
    c: Rounds = {}
    for k in range(rounds):
        for name in list(made)[:: 1 if k % 2 else -1]:  # both orders
            tap.played.clear()
            c.setdefault(name, []).append(cost(partial(made[name].step, actions(n, k)), n))
            if name.startswith("env"):
                threads = int(name[-1])
                c.setdefault(f"bare {threads}", []).append(cost(partial(bare, tap.played, threads), n))
    for envs in made.values():
        envs.close()
    cells = []
    for what in (*kinds, "bare"):
        one, two = (min(x.wall_s for x in c[f"{what} {t}"]) for t in (1, 2))
        cells += [f"{one / two:.2f}", f"{ratio(c, f'{what} 2', f'{what} 1'):.3f}"]
    waited = (np.median([x.wait_s / x.wall_s for x in c[f"env {t}"]]) for t in (1, 2))
    return f"| {task} | {' | '.join(cells)} | {' / '.join(f'{100 * w:.0f} %' for w in waited)} |"


def first_frame_ms(task: str, n: int) -> float:
    """CPU time of the first picture (colour and depth, 640 x 480) of a fresh scene: median of n."""
    with simulated.SimulatedRig(threads=1) as rig:
        bandit = GraspVectorEnv(task, num_envs=1, rig=rig).bandit
        compile_all(rig, task, bandit)
        frames = rig.reset_batch([bandit.key(1, k) for k in range(n + 1)])
        _ = frames[0]  # makes the context
        return 1e3 * float(np.median([cost(partial(frames.__getitem__, k), 1).cpu_s for k in range(1, n + 1)]))


def machine() -> str:
    """The machine in a line."""
    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), model)
    return f"{model}, {execute.threads_available()} CPUs, load {os.getloadavg()[0]:.1f} when this began"


def print_bare(names: list[str], n: int, rounds: int, tap: Tap) -> None:
    """Table of the environment beside the bare batch, and of first frames."""
    print("\nBeside the bare batch; 1.000 would be free:\n")
    print("| task | env, ms of CPU | bare / env, 1 thread (CPU) | bare / env, 2 threads (wall) "
          "| with pictures, ms of CPU | bare / with pictures (CPU) | first frame, ms of CPU |")  # fmt: skip
    print("|---" * 7 + "|")
    for name in names:
        c = against_bare(name, n, rounds, tap)
        print(
            f"| {name} | {median_ms(c, 'env 1'):.1f} | {ratio(c, 'bare 1', 'env 1'):.3f} "
            f"| {ratio(c, 'bare 2', 'env 2', 'wall_s'):.3f} | {median_ms(c, 'pictures 1'):.1f} "
            f"| {ratio(c, 'bare 1', 'pictures 1'):.2f} | {first_frame_ms(name, 12):.1f} |",
            flush=True,
        )


def print_threads(names: list[str], n: int, rounds: int, tap: Tap) -> None:
    """Table of what a second thread gives."""
    print("\nA second thread, batches of 16, the shortest of the rounds (near 1 where other work fills the machine):\n")
    if execute.threads_available() < 2:
        print("not measured: this process may use one CPU only")
        return
    print("| task | env: times faster | CPU grows by | with pictures: times faster | CPU grows by "
          "| bare: times faster | CPU grows by | env waited for a CPU, 1 / 2 |")  # fmt: skip
    print("|---" * 8 + "|")
    for name in names:
        print(second_thread(name, min(n, 16), 3 * rounds, tap), flush=True)


def print_gymnasium(names: list[str], n: int, rounds: int, tap: Tap) -> None:
    """Table of Gymnasium's vector environments."""
    few = min(n, 4)
    print(
        f"\nBeside Gymnasium's vector environments of {few}; above 1 ours is faster (wall: not clean if ours waited):\n"
    )
    print("| task | pictures | ours, ms of CPU | SyncVectorEnv / ours (1 thread, CPU) | AsyncVectorEnv / ours (wall) "
          "| ours waited for a CPU |")  # fmt: skip
    print("|---" * 6 + "|")
    for name in names:
        for images in (False, True):
            c = against_gymnasium(name, few, rounds, images)
            waited = float(np.median([x.wait_s / x.wall_s for x in c["ours wall"]]))
            print(
                f"| {name} | {'yes' if images else 'no'} | {median_ms(c, 'ours'):.1f} | {ratio(c, 'sync', 'ours'):.2f} "
                f"| {ratio(c, 'async', 'ours wall', 'wall_s'):.2f} | {100 * waited:.0f} % |",
                flush=True,
            )


def print_split(names: list[str], n: int, rounds: int, tap: Tap) -> None:
    """Tables of where an episode's time goes, without and with pictures."""
    for images in (False, True):
        parts = {name: split(name, min(n, 24), images) for name in names}
        print(f"\nWhere an episode's time goes, {'with' if images else 'without'} pictures, ms of CPU:\n")
        print(f"| | {' | '.join(names)} |\n|---{'|---' * len(names)}|")
        for row in SPLIT:
            print(f"| {row} | {' | '.join(f'{parts[name][row]:.2f}' for name in names)} |")
        print(f"\n{names[0]}:\n\n{bars(parts[names[0]])}", flush=True)


PARTS = {"bare": print_bare, "threads": print_threads, "gymnasium": print_gymnasium, "split": print_split}


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=list(TASK_WORDS), metavar="TASK", help="default: all nine")
    parser.add_argument("--only", nargs="+", default=list(PARTS), choices=list(PARTS), help="which tables")
    parser.add_argument("--num-envs", type=int, default=64, help="episodes of a batch, against the bare batch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="3 rounds")
    arguments = parser.parse_args()
    n, rounds = arguments.num_envs, 3 if arguments.quick else arguments.rounds
    unknown = [name for name in arguments.tasks if name not in tasks.names()]
    if unknown:
        parser.error(f"--tasks: unknown {', '.join(unknown)}; there are: {', '.join(tasks.names())}")
    print(f"{machine()}; batches of {n}, {rounds} rounds", flush=True)
    began, tap = time.perf_counter(), Tap()
    for part in arguments.only:
        PARTS[part](arguments.tasks, n, rounds, tap)
    print(f"\n{(time.perf_counter() - began) / 60:.1f} minutes, load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()

"""Whole episodes a second on an NVIDIA GPU beside the CPU batch, and how often both agree; says so without a GPU.

    python benchmarks/gpu_throughput.py [--tasks PickSpoon] [--worlds 1024 4096 16384] [--sigma 0.7] [--quick]
    python benchmarks/gpu_throughput.py --device warp-cpu --worlds 60 --sigma 0.9      # agreement without a GPU, slowly

Scenes, plans and models are made before the clock starts; what is timed is uploading, playing and fetching signals. The
same scenes and grasps are then judged: success on both devices, their paired difference with a 95 % interval, and the
share of episodes in which both say the same.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from deft_env import grasp
from deft_env.episode import EpisodeKey, generator
from deft_env.registries import TASK_WORDS
from deft_env.rigs.simulated import SimulatedRig
from deft_env.sim import execute, warp_execute


class Clock:
    """Adds up the wall time of a module's ``play``."""

    def __init__(self, module: Any) -> None:
        """Puts itself in the way."""
        self.seconds, self._play = 0.0, module.play
        module.play = self

    def __call__(self, *args: Any, **keywords: Any) -> execute.Playback:
        """Plays, and looks at the clock."""
        start = time.perf_counter()
        played: execute.Playback = self._play(*args, **keywords)
        self.seconds += time.perf_counter() - start
        return played


def outcomes(rig: SimulatedRig, task: str, n: int, sigma: float) -> list[Any]:
    """Plays n perturbed human grasps."""
    frames = rig.reset_batch([EpisodeKey(task, "train", "reference", 11, k) for k in range(n)])
    assert frames.truths is not None
    noise = generator("gpu throughput", task).standard_normal((n, grasp.DIM))
    wished = np.stack([truth.human_grasp for truth in frames.truths]) + sigma * grasp.SIGMA * noise
    return rig.execute_batch(wished, [rig.task(task).demonstration] * n)


def row(rigs: dict[str, SimulatedRig], clocks: dict[str, Clock], device: str, task: str, n: int, sigma: float) -> str:
    """One row of the table: n episodes of a task on both devices."""
    cpu = outcomes(rigs["cpu"], task, n, sigma)
    if device == "cuda":
        outcomes(rigs[device], task, n, sigma)  # compiles for this size
    for clock in clocks.values():
        clock.seconds = 0.0
    other = outcomes(rigs[device], task, n, sigma)
    outcomes(rigs["cpu"], task, min(n, 256), sigma)
    speed, beside = n / clocks[device].seconds, min(n, 256) / clocks["cpu"].seconds
    success = np.array([[bool(a.success), bool(b.success)] for a, b in zip(other, cpu, strict=True)], dtype=float)
    apart = success[:, 0] - success[:, 1]
    half = 1.96 * apart.std(ddof=1) / np.sqrt(n) if n > 1 else float("nan")
    rates = success.mean(axis=0)
    return (
        f"| {task} | {n} | {speed:.1f} | {speed / beside:.2g} | {rates[0]:.3f} | {rates[1]:.3f} "
        f"| {apart.mean():+.3f} ± {half:.3f} | {np.mean(apart == 0.0):.3f} |"
    )


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=None, metavar="TASK", help="default: PickSpoon; all on warp-cpu")
    parser.add_argument("--worlds", type=int, nargs="+", default=[1024, 4096, 16384])
    parser.add_argument("--device", default="cuda", choices=tuple(warp_execute.DEVICES))
    parser.add_argument("--sigma", type=float, default=0.7)
    parser.add_argument("--quick", action="store_true", help="the first number of worlds only")
    arguments = parser.parse_args()
    device = arguments.device
    try:
        warp_execute.check(device)
    except (ImportError, RuntimeError) as error:
        print(f"not measured: {error}")
        return
    clocks = {"cpu": Clock(execute), device: Clock(warp_execute)}
    rigs = {name: SimulatedRig(device=name, film=False) for name in clocks}
    print(f"{execute.threads_available()} CPU threads; errors of {arguments.sigma} sigma\n")
    print(
        f"| task | worlds | {device}, episodes/s | of the CPU's | success {device} | success CPU | difference | agree |"
    )
    print("|---" * 8 + "|")
    for task in arguments.tasks or (["PickSpoon"] if device == "cuda" else list(TASK_WORDS)):
        for n in arguments.worlds[:1] if arguments.quick else arguments.worlds:
            print(row(rigs, clocks, device, task, n, arguments.sigma), flush=True)


if __name__ == "__main__":
    main()

"""Whole episodes a second on an NVIDIA GPU, beside the CPU batch in the same run; says so where there is no GPU.

    python benchmarks/gpu_throughput.py [--task PickSpoon] [--worlds 1024 4096 16384] [--sigma 0.7] [--quick]

Scenes, plans and models are made before the clock starts; what is timed is uploading, playing and fetching signals. The
same scenes and grasps are then judged: rates on both devices, and how often they agree.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from deft_env import grasp
from deft_env.episode import EpisodeKey, generator
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


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default="PickSpoon")
    parser.add_argument("--worlds", type=int, nargs="+", default=[1024, 4096, 16384])
    parser.add_argument("--cpu-worlds", type=int, default=256, help="worlds of the CPU batch")
    parser.add_argument("--sigma", type=float, default=0.7)
    parser.add_argument("--quick", action="store_true", help="1024 worlds only")
    arguments = parser.parse_args()
    try:
        warp_execute.check("cuda")
    except (ImportError, RuntimeError) as error:
        print(f"not measured: {error}")
        return
    clocks = {"cpu": Clock(execute), "cuda": Clock(warp_execute)}
    rigs = {device: SimulatedRig(device=device, film=False) for device in clocks}
    few = outcomes(rigs["cpu"], arguments.task, arguments.cpu_worlds, arguments.sigma)
    cpu = arguments.cpu_worlds / clocks["cpu"].seconds
    print(f"{arguments.task}, {execute.threads_available()} CPU threads: {cpu:.0f} episodes/s\n")
    print("| worlds | episodes/s | of the CPU's | success GPU | success CPU | agree |\n|---|---|---|---|---|---|")
    for n in arguments.worlds[:1] if arguments.quick else arguments.worlds:
        outcomes(rigs["cuda"], arguments.task, n, arguments.sigma)  # compiles for this size
        clocks["cuda"].seconds = 0.0
        many = outcomes(rigs["cuda"], arguments.task, n, arguments.sigma)
        speed = n / clocks["cuda"].seconds
        pairs = [(bool(a.success), bool(b.success)) for a, b in zip(many, few, strict=False)]
        gpu_rate, cpu_rate = np.mean(pairs, axis=0)
        agree = np.mean([a == b for a, b in pairs])
        print(f"| {n} | {speed:.0f} | {speed / cpu:.1f} | {gpu_rate:.3f} | {cpu_rate:.3f} | {agree:.3f} |", flush=True)


if __name__ == "__main__":
    main()

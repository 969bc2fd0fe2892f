"""What each setting of the physics costs and changes, task by task, beside the finest setting.

    python benchmarks/physics_study.py [--tasks PickCup …] [--scenes 60] [--store build/physics_study.jsonl] [--quick]

Every setting meets the same scenes and the same residuals on the human grasp (0, 0.7 and 1.2 sigma). Cost is CPU time
of one thread a whole episode (physics and recording, no rendering), which other processes disturb little; read it as a
ratio. Differences to the reference (2 ms, implicitfast) are paired by scene, with a 95 % interval from a t
distribution. Finished cells are kept in the store and not run again; a cell is a task, a setting, a number of scenes.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from deft_env import grasp
from deft_env.episode import EpisodeKey, generator
from deft_env.registries import TASK_WORDS
from deft_env.rigs import simulated
from deft_env.rigs.simulated import SimulatedRig
from deft_env.sim import controls, execute, world

SIGMAS = (0.0, 0.7, 1.2)
REFERENCE = "implicitfast 2 ms"
FAST: dict[str, Any] = {"integrator": "discrete", "timestep_s": 0.010}
SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    f"{integrator} {step} ms": ({"integrator": integrator, "timestep_s": step / 1000}, {})
    for integrator in ("implicitfast", "discrete")
    for step in (2, 4, 5, 10)
} | {
    "discrete 10 ms, pyramidal": ({**FAST, "cone": "pyramidal"}, {}),
    "discrete 10 ms, impratio 1": ({**FAST, "impratio": 1.0}, {}),
    "discrete 10 ms, 40 ms waypoints": (FAST, {"step_ticks": 2}),
}
QUICK = (REFERENCE, "implicitfast 4 ms", "discrete 4 ms", "discrete 10 ms")
BATCH = 30


class Clock:
    """Adds up the CPU time of ``execute.play``."""

    def __init__(self) -> None:
        """Starts at zero and puts itself in the rig's way."""
        self.seconds, self.episodes, self._play = 0.0, 0, execute.play
        simulated.execute.play = self  # type: ignore[assignment]

    def __call__(self, *args: Any, **keywords: Any) -> execute.Playback:
        """Plays, and looks at the clock."""
        start = time.process_time()
        played = self._play(*args, **keywords)
        self.seconds += time.process_time() - start
        self.episodes += len(played.faulted)
        return played


def cell(task: str, setting: str, scenes: int, clock: Clock) -> dict[str, Any]:
    """Plays every scene at every residual in one setting."""
    physics, timing = SETTINGS[setting]
    rig = SimulatedRig(
        physics=world.PhysicsOptions(**physics), timing=controls.ControlOptions(**timing), threads=1, film=False
    )
    row: dict[str, Any] = {"task": task, "setting": setting, "scenes": scenes, "success": {}, "score": {}, "faults": 0}
    clock.seconds, clock.episodes = 0.0, 0
    for sigma in SIGMAS:
        success: list[float] = []
        score: list[float] = []
        for first in range(0, scenes, BATCH):
            ks = range(first, min(first + BATCH, scenes))
            frames = rig.reset_batch([EpisodeKey(task, "train", "reference", 77, k) for k in ks])
            assert frames.truths is not None
            noise = np.stack([generator("physics study", task, k).standard_normal(grasp.DIM) for k in ks])
            wished = np.stack([t.human_grasp for t in frames.truths]) + sigma * grasp.SIGMA * noise
            for outcome in rig.execute_batch(wished, [rig.task(task).demonstration] * len(ks)):
                row["faults"] += not outcome.status.counts
                success.append(float(bool(outcome.success)))
                score.append(float(outcome.score or 0.0))
        row["success"][str(sigma)], row["score"][str(sigma)] = success, score
    row["ms"] = 1e3 * clock.seconds / max(clock.episodes, 1)
    return row


def difference(row: dict[str, Any], reference: dict[str, Any], what: str, sigmas: tuple[float, ...]) -> str:
    """Mean paired difference over some residual levels, and its 95 % interval; a scene counts once."""
    levels = [np.array(row[what][str(s)]) - np.array(reference[what][str(s)]) for s in sigmas]
    d = np.mean(levels, axis=0)
    half = stats.t.ppf(0.975, d.size - 1) * d.std(ddof=1) / np.sqrt(d.size) if d.size > 1 else np.nan
    return f"{d.mean():+.3f} ± {half:.3f}"


def table(task: str, rows: dict[str, dict[str, Any]]) -> str:
    """A Markdown table of one task."""
    reference = rows[REFERENCE]
    out = [
        f"### {task}\n",
        f"{reference['scenes']} scenes; success / score at 0, 0.7 and 1.2 sigma; paired differences to {REFERENCE}: of"
        " the score at 0, and of success and score over 0.7 and 1.2.\n",
        "| setting | ms | of ref. | 0 | 0.7 | 1.2 | Δ score at 0 | Δ success | Δ score | faults |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        rates = [f"{np.mean(row['success'][str(s)]):.2f} / {np.mean(row['score'][str(s)]):.2f}" for s in SIGMAS]
        kinds = (("score", SIGMAS[:1]), ("success", SIGMAS[1:]), ("score", SIGMAS[1:]))
        differences = [difference(row, reference, what, sigmas) for what, sigmas in kinds]
        cost = f"{row['ms']:.1f} | {row['ms'] / reference['ms']:.2f}"
        out.append(f"| {name} | {cost} | {' | '.join(rates)} | {' | '.join(differences)} | {row['faults']} |")
    return "\n".join(out) + "\n"


def main() -> None:
    """Runs what the store lacks and prints one table a task."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=list(TASK_WORDS))
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--store", type=Path, default=Path("build/physics_study.jsonl"))
    parser.add_argument("--quick", action="store_true", help="12 scenes of one task in four settings")
    arguments = parser.parse_args()
    names, scenes = list(SETTINGS), arguments.scenes
    if arguments.quick:
        names, scenes, arguments.tasks = list(QUICK), 12, arguments.tasks[:1]
    arguments.store.parent.mkdir(parents=True, exist_ok=True)
    kept = [json.loads(line) for line in arguments.store.read_text().splitlines()] if arguments.store.exists() else []
    done = {(row["task"], row["setting"], row["scenes"]): row for row in kept}
    clock = Clock()
    for task in arguments.tasks:
        for name in names:
            if (task, name, scenes) not in done:
                row = done[task, name, scenes] = cell(task, name, scenes, clock)
                with arguments.store.open("a") as file:
                    file.write(json.dumps(row) + "\n")
        print(table(task, {name: done[task, name, scenes] for name in names}), flush=True)


if __name__ == "__main__":
    main()

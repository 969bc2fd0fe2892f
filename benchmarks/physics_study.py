"""What each setting of the physics costs and changes, task by task, beside the finest setting.

    python benchmarks/physics_study.py [--tasks PickCup …] [--settings "discrete 5 ms" …] [--scenes 60] [--quick]

Every setting meets the same scenes and the same residuals on the human grasp (0, 0.7 and 1.2 sigma). Cost is CPU time
of one thread a whole episode (physics and recording, no rendering), which other processes disturb little; read it as a
ratio. Differences to the reference (2 ms, implicitfast) are paired by scene, with a 95 % interval from a t
distribution. Finished cells are kept in the store (``--store``) and not run again; a cell is a task, a setting and a
number of scenes.

Some settings change more than the solver: which pairs collide, how many sides a mesh has (where a task has meshes),
and "lost ones end early", which is computed: an episode in whose trajectory the hand has touched nothing of the object
for 0.2 s is cut there, its last signals are repeated to the end and judged, and its cost is scaled by the ticks played.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from deft_env import grasp
from deft_env.episode import EpisodeKey, Status, generator
from deft_env.registries import TASK_WORDS
from deft_env.rigs import simulated
from deft_env.rigs.simulated import SimulatedRig
from deft_env.sim import contact, controls, execute, names, world
from deft_env.tasks import judging, shapes, squeeze_lemon
from deft_env.tasks.task import PHASE_SIGNAL

SIGMAS = (0.0, 0.7, 1.2)
REFERENCE = "implicitfast 2 ms"
FAST: dict[str, Any] = {"integrator": "discrete", "timestep_s": 0.010}


def arm_meets_nothing(model: Any) -> None:
    """Takes the arm's links and the hand's housing, but for the palm, out of the collisions."""
    for geom in range(model.ngeom):
        body = model.body(model.geom_bodyid[geom]).name
        if body in names.ARM_LINKS or (body == names.HAND_BASE and model.geom(geom).name != names.PALM_GEOM):
            model.geom_contype[geom] = model.geom_conaffinity[geom] = 0


def fingers_do_not_meet_the_thumb(model: Any) -> None:
    """Lets fingers and thumb pass through each other."""
    for kind, other in ((contact.FINGER[0], contact.THUMB[0]), (contact.THUMB[0], contact.FINGER[0])):
        model.geom_conaffinity[model.geom_contype == kind] &= ~other


@dataclass(frozen=True)
class Setting:
    """One row of the study.

    Attributes:
        physics: keywords of ``PhysicsOptions``.
        timing: keywords of ``ControlOptions``.
        edit: changes a model before it is played.
        sides: of round meshes; 0 leaves them.
        early: whether lost episodes end early.
    """

    physics: Mapping[str, Any] = field(default_factory=lambda: FAST)
    timing: Mapping[str, Any] = field(default_factory=dict)
    edit: Callable[[Any], None] | None = None
    sides: int = 0
    early: bool = False


SETTINGS: dict[str, Setting] = {
    f"{integrator} {step} ms": Setting({"integrator": integrator, "timestep_s": step / 1000})
    for integrator in ("implicitfast", "discrete")
    for step in (2, 4, 5, 10)
} | {
    "discrete 10 ms, pyramidal": Setting({**FAST, "cone": "pyramidal"}),
    "discrete 10 ms, impratio 1": Setting({**FAST, "impratio": 1.0}),
    "discrete 10 ms, sparse": Setting({**FAST, "jacobian": "sparse"}),
    "discrete 10 ms, 40 ms waypoints": Setting(timing={"step_ticks": 2}),
    "discrete 10 ms, lost ones end early": Setting(early=True),
    "discrete 10 ms, arm meets nothing": Setting(edit=arm_meets_nothing),
    "discrete 10 ms, fingers pass the thumb": Setting(edit=fingers_do_not_meet_the_thumb),
    "discrete 10 ms, meshes of 10 sides": Setting(sides=10),
}
WITH_MESHES = ("PickCup", "PourCup", "SqueezeLemon")
QUICK = (REFERENCE, "implicitfast 4 ms", "discrete 4 ms", "discrete 10 ms", "discrete 10 ms, sparse")
BATCH = 30
LOST_TICKS = 10


class Clock:
    """Adds up the CPU time of ``execute.play``."""

    def __init__(self) -> None:
        """Starts at zero and puts itself in the rig's way."""
        self.seconds, self.episodes, self._play = 0.0, 0, execute.play
        self.edit: Callable[[Any], None] | None = None
        simulated.execute.play = self  # type: ignore[assignment]

    def __call__(self, *args: Any, **keywords: Any) -> execute.Playback:
        """Plays, and looks at the clock."""
        if (edit := self.edit) is not None:
            for model in args[0]:
                edit(model)
        start = time.process_time()
        played = self._play(*args, **keywords)
        self.seconds += time.process_time() - start
        self.episodes += len(played.faulted)
        return played


@contextmanager
def sides_of_meshes(sides: int) -> Iterator[None]:
    """Round meshes with fewer sides, for models compiled within; 0 changes nothing."""
    kept = shapes._SIDES, squeeze_lemon._SIDES
    if sides:
        shapes._SIDES = squeeze_lemon._SIDES = sides  # type: ignore[misc]
    try:
        yield
    finally:
        shapes._SIDES, squeeze_lemon._SIDES = kept  # type: ignore[misc]


def cut(signals: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    """The signals of an episode that ends when it is lost, and the share of its ticks that are played."""
    touching = np.any([judging.touching(signals, digit) for digit in shapes.GRIP_SENSORS], axis=0)
    begun = np.flatnonzero(judging.phase(signals, "trajectory"))[0]
    idle = np.convolve(~touching[begun:], np.ones(LOST_TICKS), "valid") == LOST_TICKS
    if not idle.any():
        return dict(signals), 1.0
    end = int(begun + np.argmax(idle) + LOST_TICKS)  # the first tick that is not played
    out = {
        name: np.concatenate([s[:end], np.repeat(s[end - 1 : end], len(s) - end, axis=0)])
        for name, s in signals.items()
    }
    return {**out, PHASE_SIGNAL: signals[PHASE_SIGNAL]}, end / len(touching)


def cell(task: str, name: str, scenes: int, clock: Clock) -> dict[str, Any]:
    """Plays every scene at every residual in one setting."""
    setting = SETTINGS[name]
    rig = SimulatedRig(
        physics=world.PhysicsOptions(**setting.physics),
        timing=controls.ControlOptions(**setting.timing),
        threads=1,
        film=False,
    )
    row: dict[str, Any] = {"task": task, "setting": name, "scenes": scenes, "success": {}, "score": {}, "faults": 0}
    clock.seconds, clock.episodes, clock.edit = 0.0, 0, setting.edit
    shares: list[float] = []
    for sigma in SIGMAS:
        success: list[float] = []
        score: list[float] = []
        for first in range(0, scenes, BATCH):
            ks = range(first, min(first + BATCH, scenes))
            frames = rig.reset_batch([EpisodeKey(task, "train", "reference", 77, k) for k in ks])
            assert frames.truths is not None
            noise = np.stack([generator("physics study", task, k).standard_normal(grasp.DIM) for k in ks])
            wished = np.stack([t.human_grasp for t in frames.truths]) + sigma * grasp.SIGMA * noise
            with sides_of_meshes(setting.sides):
                outcomes = rig.execute_batch(wished, [rig.task(task).demonstration] * len(ks))
            for outcome in outcomes:
                judged = bool(outcome.success), float(outcome.score or 0.0)
                if setting.early and outcome.status is Status.COMPLETED:
                    signals, share = cut(outcome.signals)
                    shares.append(share)
                    judged = rig.task(task).success(signals), rig.task(task).score(signals)
                row["faults"] += not outcome.status.counts
                success.append(float(judged[0]))
                score.append(float(judged[1]))
        row["success"][str(sigma)], row["score"][str(sigma)] = success, score
    row["ms"] = 1e3 * clock.seconds / max(clock.episodes, 1) * (float(np.mean(shares)) if shares else 1.0)
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
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS), metavar="SETTING")
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--store", type=Path, default=Path("build/physics_study.jsonl"))
    parser.add_argument("--quick", action="store_true", help="12 scenes of one task in five settings, not stored")
    arguments = parser.parse_args()
    wanted, scenes = [name for name in SETTINGS if name in {REFERENCE, *arguments.settings}], arguments.scenes
    if arguments.quick:
        wanted, scenes, arguments.tasks = list(QUICK), 12, arguments.tasks[:1]
        arguments.store = Path(os.devnull)  # what is compared is always today's code
    arguments.store.parent.mkdir(parents=True, exist_ok=True)
    kept = [json.loads(line) for line in arguments.store.read_text().splitlines()] if arguments.store.exists() else []
    done = {(row["task"], row["setting"], row["scenes"]): row for row in kept}
    clock = Clock()
    for task in arguments.tasks:
        rows = {}
        for name in wanted:
            if SETTINGS[name].sides and task not in WITH_MESHES:
                continue
            if (task, name, scenes) not in done:
                row = done[task, name, scenes] = cell(task, name, scenes, clock)
                with arguments.store.open("a") as file:
                    file.write(json.dumps(row) + "\n")
            rows[name] = done[task, name, scenes]
        print(table(task, rows), flush=True)


if __name__ == "__main__":
    main()

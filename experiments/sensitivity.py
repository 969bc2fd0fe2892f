"""How a task's success depends on the error of a grasp: along each coordinate, and by size and group.

``python -m deft_experiments.sensitivity PickCup`` prints, from the reference grasp, success and score when one
coordinate is off by -2, -1, 1, 2 sigma, and under residuals N(0, (s sigma)^2) of each group for s = 0, 0.5, 1, 2, 4. It
is the evidence from which ``prior_error_sigma`` in a task's data file was chosen, and the table of the docs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray

from deft_env import grasp
from deft_env.episode import EpisodeKey, Outcome, generator
from deft_env.rigs.simulated import SimulatedRig

Array = NDArray[np.float64]
SHIFTS = (-2.0, -1.0, 1.0, 2.0)
SIZES = (0.0, 0.5, 1.0, 2.0, 4.0)
CHUNK = 512


@dataclass(frozen=True)
class Config:
    """Settings of a measurement.

    Attributes:
        tasks: tasks to measure.
        scenes: scenes a cell.
        split: their split.
        coordinates: measure the shift of each coordinate.
        groups: measure residual size by group.
        json: print one JSON object instead of tables.
    """

    tasks: tyro.conf.Positional[tuple[str, ...]]
    scenes: int = 40
    split: str = "train"
    coordinates: bool = True
    groups: bool = True
    json: bool = False


def outcomes_at(rig: SimulatedRig, task_name: str, keys: Sequence[EpisodeKey], offsets_sigma: Array) -> list[Outcome]:
    """Plays the reference grasp off by ``offsets_sigma`` (N, 22) in the scenes of ``keys`` (N)."""
    task = rig.task(task_name)
    out: list[Outcome] = []
    for start in range(0, len(keys), CHUNK):
        part = list(keys[start : start + CHUNK])
        frames = rig.reset_batch(part)
        assert frames.truths is not None
        human = np.stack([truth.human_grasp for truth in frames.truths])
        wished = human + offsets_sigma[start : start + CHUNK] * grasp.SIGMA
        out += rig.execute_batch(wished, [task.demonstration] * len(part))
    return out


def rates(outcomes: Sequence[Outcome]) -> tuple[float, float]:
    """(success rate, mean score); a faulted episode says nothing and is left out."""
    valid = [o for o in outcomes if o.status.counts]
    return float(np.mean([bool(o.success) for o in valid])), float(np.mean([o.score or 0.0 for o in valid]))


def by_coordinate(rig: SimulatedRig, task: str, split: str, scenes: int) -> dict[str, list[tuple[float, float]]]:
    """Coordinate -> (success, score) at each of ``SHIFTS``."""
    keys = [EpisodeKey(task, split, "calibrate", 7, k) for k in range(scenes)]
    rows: dict[str, list[tuple[float, float]]] = {}
    cells = [(name, shift) for name in range(grasp.DIM) for shift in SHIFTS]
    offsets = np.zeros((len(cells), scenes, grasp.DIM))
    for c, (name, shift) in enumerate(cells):
        offsets[c, :, name] = shift
    outcomes = outcomes_at(rig, task, keys * len(cells), offsets.reshape(-1, grasp.DIM))
    for c, (name, _) in enumerate(cells):
        rows.setdefault(grasp.NAMES[name], []).append(rates(outcomes[c * scenes : (c + 1) * scenes]))
    return rows


def by_group(rig: SimulatedRig, task: str, split: str, scenes: int) -> dict[str, list[tuple[float, float]]]:
    """Group (and ``all``) -> (success, score) under random residuals of each of ``SIZES``."""
    rows = {}
    for group, columns in {"all": slice(0, grasp.DIM), **grasp.GROUPS}.items():
        cells = []
        for size in SIZES:
            keys = [EpisodeKey(task, split, "calibrate", 8, k) for k in range(scenes)]
            offsets = np.zeros((scenes, grasp.DIM))
            draws = generator("sensitivity", task, split).normal(size=(scenes, grasp.DIM))
            offsets[:, columns] = size * draws[:, columns]
            cells.append(rates(outcomes_at(rig, task, keys, offsets)))
        rows[group] = cells
    return rows


def measure(config: Config) -> dict[str, Any]:
    """Measures every task and prints tables as it goes."""
    rig = SimulatedRig(film=False)
    out: dict[str, Any] = {}
    for task in config.tasks:
        out[task] = {}
        for wanted, name, head, measured in (
            (config.coordinates, "coordinates", SHIFTS, by_coordinate),
            (config.groups, "groups", SIZES, by_group),
        ):
            if not wanted:
                continue
            rows = out[task][name] = measured(rig, task, config.split, config.scenes)
            if config.json:
                continue
            print(f"\n{task} ({config.split}, {config.scenes} scenes a cell): success/score")
            print(f"{'':16s}" + "".join(f"{h:>+10.1f} s" if name == "coordinates" else f"{h:>10.1f} s" for h in head))
            for row, cells in rows.items():
                print(f"{row:16s}" + "".join(f"   {s:.2f}/{g:.2f} " for s, g in cells), flush=True)
    if config.json:
        print(json.dumps(out))
    return out


if __name__ == "__main__":
    measure(tyro.cli(Config))

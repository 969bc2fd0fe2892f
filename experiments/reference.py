"""Finds a task's reference grasp: the fine offsets of a person's grasp, by a cross-entropy search in the simulator.

``python -m deft_experiments.reference PickCup`` warm-starts from the task's data file, maximises the mean score over
randomised scenes of both splits while the grasp is shaken by residual noise (so that the result is a comfortable grasp
and no knife edge), writes the data file and prints what the found grasp does. The reference serves calibration and
tests; no agent, judge or learned prior sees it.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray

from deft_env import grasp
from deft_env.episode import EpisodeKey, generator
from deft_env.rigs.simulated import SimulatedRig
from deft_env.tasks.task import Task

Array = NDArray[np.float64]

PARAMETERS = (
    "x", "y", "z", "roll", "pitch", "yaw", "forward", "pip", "thumb_forward", "thumb_pip",
    "index_side", "ring_side", "thumb_side",
)  # fmt: skip
"""What is searched: the offset (m), the wrist (rad), and a hand shape whose three fingers share their bends (rad)."""
SCALE = np.array([0.015, 0.012, 0.015, 0.15, 0.15, 0.15, 0.25, 0.25, 0.25, 0.25, 0.10, 0.10, 0.12])
"""Initial standard deviations of the search."""


@dataclass(frozen=True)
class Config:
    """Settings of a search.

    Attributes:
        task: the task.
        generations: refits; 0 only measures.
        population: candidates a generation.
        scenes: scenes each candidate plays, new in every generation, the same for all of its candidates.
        noise: standard deviation of the shaking, in units of sigma.
        split: scenes of ``train``, ``test`` or ``both``.
        entry: the data entry that is read and written: ``default`` or an object's name.
        scale: factor on the initial standard deviations.
        check: scenes a split for the closing measurement.
        seed: of the search.
        write: write the result into the data file.
    """

    task: tyro.conf.Positional[str]
    generations: int = 8
    population: int = 40
    scenes: int = 6
    noise: float = 0.7
    split: str = "both"
    entry: str = "default"
    scale: float = 1.0
    check: int = 100
    seed: int = 0
    write: bool = True


def to_entry(x: Array) -> dict[str, Any]:
    """Search vector -> data entry; angles clipped to the joints' ranges."""
    p = dict(zip(PARAMETERS, x, strict=True))
    fingers = {}
    for name in grasp.JOINT_NAMES:
        finger, joint = name.split("_")
        thumb = "thumb_" if finger == "thumb" else ""
        side = p.get(f"{finger}_side", 0.0)
        fingers[name] = {
            "side": side,
            "forward": p[f"{thumb}forward"],
            "pip": p[f"{thumb}pip"],
            "dip": grasp.DIP_PER_PIP * p[f"{thumb}pip"],
        }[joint]
    low, high = grasp.LOW[grasp.FINGERS], grasp.HIGH[grasp.FINGERS]
    clipped = np.clip([fingers[n] for n in grasp.JOINT_NAMES], low, high)
    return {
        "offset_m": [round(float(v), 5) for v in x[:3]],
        "wrist_rad": [round(float(v), 4) for v in x[3:6]],
        "fingers_rad": {n: round(float(v), 4) for n, v in zip(grasp.JOINT_NAMES, clipped, strict=True)},
    }


def to_vector(entry: dict[str, Any]) -> Array:
    """Data entry -> search vector."""
    f = entry["fingers_rad"]
    return np.array(
        [
            *entry["offset_m"], *entry["wrist_rad"], f["middle_forward"], f["middle_pip"], f["thumb_forward"],
            f["thumb_pip"], f["index_side"], f["ring_side"], f["thumb_side"],
        ]
    )  # fmt: skip


def play(rig: SimulatedRig, task: Task, keys: list[EpisodeKey], entries: list[dict[str, Any]], noise: Array) -> Any:
    """Outcomes of each candidate entry in every scene: list of (candidate, scene) in row-major order."""
    slot = task.data["reference"]
    saved = dict(slot)
    grasps = []
    try:
        scenes = [task.draw(key) for key in keys]
        for entry in entries:
            slot.clear()
            slot["default"] = entry
            grasps += [task.human_grasp(scene) for scene in scenes]
    finally:
        slot.clear()
        slot.update(saved)
    wished = np.array(grasps) + noise * grasp.SIGMA
    rig.reset_batch(keys * len(entries))
    return rig.execute_batch(wished, [task.demonstration] * len(wished))


def search(config: Config) -> dict[str, Any]:
    """Runs the search and the closing measurement; returns the found entry."""
    rig = SimulatedRig(film=False)
    task = rig.task(config.task)
    if config.write and config.generations and not (task.data_folder / f"{task.data_name}.json").is_file():
        file = task.data_folder / f"{task.data_name}.json"
        raise SystemExit(f"{config.task}: there is no {file} to write the result into; make one, or use --no-write")
    reference = task.data["reference"]
    entry = {**reference["default"], **reference.get(config.entry, {})}
    mean, std = to_vector(entry), SCALE * config.scale
    splits = ("train", "test") if config.split == "both" else (config.split,)
    draws = generator("reference", config.task, config.entry, config.seed)
    for g in range(config.generations):
        start = time.monotonic()
        keys = [
            EpisodeKey(config.task, splits[s % len(splits)], "calibrate", config.seed * 1000 + g, s)
            for s in range(config.scenes)
        ]
        x = mean + std * draws.normal(size=(config.population, len(mean)))
        x[0] = mean
        noise = np.tile(draws.normal(size=(config.scenes, grasp.DIM)) * config.noise, (config.population, 1))
        outcomes = play(rig, task, keys, [to_entry(v) for v in x], noise)
        score = np.array([o.score or 0.0 for o in outcomes]).reshape(config.population, config.scenes)
        order = np.argsort(-score.mean(1), kind="stable")
        elites = x[order[: max(4, config.population // 5)]]
        print(
            f"{config.task} {config.entry} generation {g}: mean {score.mean():.3f} elite "
            f"{score[order[: len(elites)]].mean():.3f} centre {score[0].mean():.3f} "
            f"({time.monotonic() - start:.0f} s)",
            flush=True,
        )
        mean = elites.mean(0)
        std = np.maximum(0.7 * elites.std(0) + 0.3 * std, 0.15 * SCALE)
    found = to_entry(mean) if config.generations else entry
    if config.write and config.generations:
        path = task.data_folder / f"{task.data_name}.json"
        data = json.loads(path.read_text())
        data["reference"][config.entry] = found
        path.write_text(json.dumps(data, indent=1) + "\n")
    for split in ("train", "test"):
        keys = [EpisodeKey(config.task, split, "reference", 0, k) for k in range(config.check)]
        scene_entries = [found if config.generations else None]
        for shake in (0.0, 0.5, 1.0, 2.0):
            noise = generator("reference-check", config.task, split).normal(size=(len(keys), grasp.DIM)) * shake
            if scene_entries[0] is None:
                rig.reset_batch(keys)
                wished = np.array([task.human_grasp(task.draw(k)) for k in keys]) + noise * grasp.SIGMA
                outcomes = rig.execute_batch(wished, [task.demonstration] * len(keys))
            else:
                outcomes = play(rig, task, keys, [found], noise)
            ok = np.mean([bool(o.success) for o in outcomes])
            score_mean = np.mean([o.score or 0.0 for o in outcomes])
            failed = sum(o.status == "failed" for o in outcomes)
            faults = sum(o.status == "faulted" for o in outcomes)
            print(
                f"{config.task} {split} residual {shake} sigma: success {ok:.2f} score {score_mean:.2f} "
                f"failed {failed} faulted {faults}",
                flush=True,
            )
    return found


if __name__ == "__main__":
    search(tyro.cli(Config))

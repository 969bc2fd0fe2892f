"""Why the distance to a goal image hardly ranks success: the same distance to better goals, and of other features.

    python -m deft_env.encoders.goal_study        # episodes as in ``ranking``, another seed; mean area over the tasks

Our own measurement for docs/human-video.md. The goal of the same scene is played with the reference grasp, which no
reward could have.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deft_env import observation
from deft_env.encoders.ranking import BATCH, auc, disturbed
from deft_env.episode import EpisodeKey, Outcome, Status
from deft_env.registries import TASK_WORDS, make_encoder, make_rig, make_task
from deft_env.rigs.rig import Frames, Rig

Array = NDArray[np.float64]
Pictures = NDArray[np.uint8]

ENCODERS: Final = ("time-contrastive", "resnet18-random", "colour-grid")
GOALS: Final = 5


def _last(outcomes: Sequence[Outcome]) -> list[Pictures | None]:
    """Last pictures of what was played."""
    played = [o.last_frame() if o.status is Status.COMPLETED and o.last_frame else None for o in outcomes]
    return [None if frame is None else observation.image(frame) for frame in played]


def _people(frames: Frames) -> Array:
    if frames.truths is None:
        raise ValueError("rig: the simulated rig gave no truths")
    return np.array([truth.human_grasp for truth in frames.truths])


def play(rig: Rig, name: str, scenes: int, seed: int) -> tuple[dict[str, Pictures], NDArray[np.bool_]]:
    """Pictures of a task's completed episodes, and whether they succeeded (n,).

    ``first``, ``last`` and ``same`` (the reference grasp in the same scene) are (n, 224, 224, 3); ``goals`` (g, …) are
    successful demonstrations of other scenes, the task's own first.
    """
    task = make_task(name, rig)
    found: dict[str, list[Any]] = {"first": [], "last": [], "same": []}
    success: list[bool] = []
    for start in range(0, scenes, BATCH):
        keys = [EpisodeKey(name, "train", "eval", seed, k) for k in range(start, min(start + BATCH, scenes))]
        frames = rig.reset_batch(keys)
        people, demonstrations = _people(frames), [task.demonstration] * len(keys)
        outcomes = rig.execute_batch(disturbed(people, keys), demonstrations)
        last, first = _last(outcomes), [observation.image(frame) for frame in frames[:]]
        rig.reset_batch(keys)
        same = _last(rig.execute_batch(people, demonstrations))
        for i, outcome in enumerate(outcomes):
            if last[i] is not None and same[i] is not None:
                success.append(outcome.success is True)
                for kind, pictures in (("first", first), ("last", last), ("same", same)):
                    found[kind].append(pictures[i])
    keys = [EpisodeKey(name, "train", "reference", 0, k) for k in range(GOALS)]
    outcomes = rig.execute_batch(_people(rig.reset_batch(keys)), [task.demonstration] * GOALS)
    found["goals"] = [p for p, o in zip(_last(outcomes), outcomes, strict=True) if p is not None and o.success]
    return {kind: np.array(pictures) for kind, pictures in found.items()}, np.array(success)


def ratings(features: Callable[[Pictures], Array], seen: Mapping[str, Pictures]) -> dict[str, Array]:
    """Variant -> ratings (n,) by distances of ``features``, which are flattened."""
    f = {kind: np.asarray(features(pictures), np.float64).reshape(len(pictures), -1) for kind, pictures in seen.items()}

    def distance(a: Array, b: Array) -> Array:
        out: Array = np.linalg.norm(a - b, axis=-1)
        return out

    goal = f["goals"][0]
    return {
        "goal image": -distance(f["last"], goal),
        "first minus last": distance(f["first"], goal) - distance(f["last"], goal),
        f"nearest of {GOALS} goal images": -np.min([distance(f["last"], g) for g in f["goals"]], axis=0),
        "goal image of the same scene": -distance(f["last"], f["same"]),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table in Markdown: variants by encoders, mean area over the tasks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tasks", nargs="*", default=list(TASK_WORDS), help="tasks; none for all nine")
    parser.add_argument("--scenes", type=int, default=48, help="episodes a task")
    parser.add_argument("--seed", type=int, default=191)
    args = parser.parse_args(arguments)
    looks: dict[str, Callable[[Pictures], Array]] = {}
    for name in ENCODERS:
        looks[name] = make_encoder(name)
        if hasattr(looks[name], "spatial"):
            looks[f"{name}, before pooling"] = looks[name].spatial  # type: ignore[attr-defined]
    if args.scenes < 4:
        parser.error(f"--scenes: expected at least 4, got {args.scenes}")
    areas: dict[str, dict[str, list[float]]] = {}
    for task in args.tasks:
        with make_rig("simulated", {"film": False}) as rig:
            seen, success = play(rig, task, args.scenes, args.seed)
        if success.all() or not success.any():  # a handful of scenes: nothing to rank
            print(f"{task}: {int(success.sum())} of {len(success)} succeeded; left out")
            continue
        for look, features in looks.items():
            for variant, values in ratings(features, seen).items():
                areas.setdefault(variant, {}).setdefault(look, []).append(auc(values, success))
    print("| reward | " + " | ".join(looks) + " |")
    print("|---" * (len(looks) + 1) + "|")
    for variant, by_look in areas.items():
        print(f"| {variant} | " + " | ".join(f"{np.mean(by_look[look]):.2f}" for look in looks) + " |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

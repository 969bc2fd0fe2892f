"""Plays the golden episodes; as a script, it writes those of the named tasks (or all) anew (say why in the commit)."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from deft_env import grasp, registries
from deft_env.episode import EpisodeKey, Outcome, generator, jsonable
from deft_env.prior.simulated import SimulatedPrior
from deft_env.rigs.simulated import SimulatedRig

PATH = Path(__file__).with_name("golden_episodes.json")
CASES = ("reference", "prior", "shaken")
"""A person's grasp; the simulated prior's; a person's grasp with a residual of 1.5 sigma."""


def keys(task: str) -> list[EpisodeKey]:
    return [EpisodeKey(task, split, "reference", 11, k) for k, split in enumerate(("train", "test", "train"))]


def play(task: str, threads: int = 0) -> list[Outcome]:
    """The three golden episodes of a task, as one batch."""
    with SimulatedRig(film=False, threads=threads) as rig:
        frames = rig.reset_batch(keys(task))
        assert frames.truths is not None
        wished = np.stack([truth.human_grasp for truth in frames.truths])
        wished[1] = SimulatedPrior()(frames, rig.task(task))[1]
        wished[2] += 1.5 * grasp.SIGMA * generator("golden", task).normal(size=grasp.DIM)
        return rig.execute_batch(wished, [rig.task(task).demonstration] * 3)


def digest(outcomes: list[Outcome]) -> str:
    """A hash of every bit of every signal."""
    text = hashlib.sha256()
    for outcome in outcomes:
        text.update(repr((str(outcome.status), outcome.reason, outcome.success, outcome.score)).encode())
        for name in sorted(outcome.signals):
            text.update(name.encode() + np.ascontiguousarray(outcome.signals[name]).tobytes())
    return text.hexdigest()


def record(task: str) -> dict[str, Any]:
    """What the golden file keeps of a task."""
    return {
        case: {
            "executed_grasp": jsonable(outcome.executed_grasp),
            "status": str(outcome.status),
            "success": outcome.success,
            "score": outcome.score,
            "subgoals": dict(outcome.subgoals),
        }
        for case, outcome in zip(CASES, play(task), strict=True)
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--digest"]:
        print(digest(play(sys.argv[2], int(sys.argv[3]))))
    else:
        kept = json.loads(PATH.read_text(encoding="utf-8")) if sys.argv[1:] else {}
        anew = {name: record(name) for name in sys.argv[1:] or registries.TASK_WORDS}
        PATH.write_text(json.dumps({**kept, **anew}, indent=1) + "\n")
        print(PATH)

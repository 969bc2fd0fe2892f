"""Does a visual reward rank success? ``python -m deft_env.encoders.ranking`` measures it on simulated episodes.

Episodes are played with the reference grasp plus errors of 0.3 to 2.5 σ, so that some succeed. The figure is the
probability that a success is rated above a failure (the area under the ROC curve; 0.5 is chance), with a bootstrap
interval over episodes, and the difference between two rewards on the same episodes. Our own measurement; the reference
grasp makes the episodes only, no reward sees it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp
from deft_env.episode import EpisodeKey, Status, generator
from deft_env.registries import TASK_WORDS, make_reward, make_rig, make_task

Array = NDArray[np.float64]

SPREADS: Final = (0.3, 1.0, 1.6, 2.5)
"""Errors of the grasps, in σ of ``grasp.SIGMA``; each episode draws one of them."""
RESAMPLES: Final = 1000
BATCH: Final = 16


def auc(values: Array, success: NDArray[np.bool_]) -> float:
    """Probability that a success is rated above a failure, ties counted half; NaN where there are not both."""
    good, bad = values[success], values[~success]
    if not len(good) or not len(bad):
        return float("nan")
    return float((good[:, None] > bad).mean() + 0.5 * (good[:, None] == bad).mean())


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Ratings of one task's completed episodes.

    Attributes:
        success: (n,) bool.
        rated: reward -> (n,).
    """

    success: NDArray[np.bool_]
    rated: Mapping[str, Array]

    def interval(self, first: str, minus: str = "") -> tuple[float, float, float]:
        """AUC of ``first`` (minus that of ``minus``): estimate, and bounds of a 95 % bootstrap over episodes."""

        def figure(rows: NDArray[np.int64]) -> float:
            value = auc(self.rated[first][rows], self.success[rows])
            return value - auc(self.rated[minus][rows], self.success[rows]) if minus else value

        n = len(self.success)
        rng = generator("reward-ranking", "bootstrap", n)
        # Resampled within successes and within failures, so that both are always there.
        parts = [np.flatnonzero(self.success), np.flatnonzero(~self.success)]
        drawn = [figure(np.concatenate([rng.choice(p, len(p)) for p in parts if len(p)])) for _ in range(RESAMPLES)]
        low, high = np.quantile(drawn, [0.025, 0.975])
        return figure(np.arange(n)), float(low), float(high)


def disturbed(grasps: Array, keys: Sequence[EpisodeKey]) -> Array:
    """Reference grasps (N, 22), each with an error of its key's own draw and one of ``SPREADS``."""
    out = np.array(grasps, dtype=np.float64)
    for row, key in zip(out, keys, strict=True):
        draws = key.generator("reward ranking")
        row += grasp.SIGMA * draws.normal(size=grasp.DIM) * draws.choice(SPREADS)
    return out


def rank(task_name: str, rewards: Sequence[str], scenes: int, seed: int, split: str = "train") -> Ranking:
    """Plays ``scenes`` episodes of a task and rates them; episodes out of the arm's reach are left out.

    Raises:
        ValueError: if a reward cannot rate without a person.
    """
    raters = {name: make_reward(name) for name in rewards}
    success: list[bool] = []
    rated: dict[str, list[float]] = {name: [] for name in rewards}
    with make_rig("simulated", {"film": False}) as rig:
        task = make_task(task_name, rig)
        for start in range(0, scenes, BATCH):
            keys = [EpisodeKey(task_name, split, "eval", seed, k) for k in range(start, min(start + BATCH, scenes))]
            frames = rig.reset_batch(keys)
            if frames.truths is None:
                raise ValueError("rig: the simulated rig gave no truths")
            xi = disturbed(np.array([t.human_grasp for t in frames.truths]), keys)
            outcomes = rig.execute_batch(xi, [task.demonstration] * len(keys))
            played = np.array([o.status is Status.COMPLETED for o in outcomes])
            success += [o.success is True for o, p in zip(outcomes, played, strict=True) if p]
            for name, reward in raters.items():
                values = np.asarray(reward(frames, outcomes, task), dtype=np.float64)
                rated[name] += values[played].tolist()
    return Ranking(np.array(success), {name: np.array(v) for name, v in rated.items()})


def line(task: str, ranking: Ranking, rewards: Sequence[str]) -> str:
    """A row of the table."""
    cells = [task, f"{int(ranking.success.sum())} of {len(ranking.success)}"]
    pairs = [(name, "") for name in rewards] + [(rewards[0], other) for other in rewards[1:]]
    for first, minus in pairs:
        value, low, high = ranking.interval(first, minus)
        sign = "+" if minus else ""
        cells.append(f"{value:{sign}.2f} [{low:{sign}.2f}, {high:{sign}.2f}]" if np.isfinite(value) else "–")
    return "| " + " | ".join(cells) + " |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table in Markdown."""
    parser = argparse.ArgumentParser(description="Does a visual reward rank success? AUC per task.")
    parser.add_argument("tasks", nargs="*", default=list(TASK_WORDS), help="tasks; none for all nine")
    parser.add_argument("--rewards", nargs="+", default=["success-detector", "time-contrastive", "resnet18-random"])
    parser.add_argument("--scenes", type=int, default=48, help="episodes a task")
    parser.add_argument("--seed", type=int, default=91)
    parser.add_argument("--split", choices=["train", "test"], default="train", help="whose objects")
    args = parser.parse_args(arguments)
    if args.scenes < 4:
        parser.error(f"--scenes: expected at least 4, got {args.scenes}")
    names = [*args.rewards, *(f"{args.rewards[0]} − {other}" for other in args.rewards[1:])]
    print("| task | successes | " + " | ".join(names) + " |")
    print("|" + "---|" * (2 + len(names)))
    for task in args.tasks:
        print(line(task, rank(task, args.rewards, args.scenes, args.seed, args.split), args.rewards), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

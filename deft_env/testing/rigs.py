"""The contract of rigs: frames, outcomes, refusals, and scenes that end the same alone and in a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp
from deft_env.demonstration import Demonstration
from deft_env.episode import EpisodeKey, Frame, Outcome, Status
from deft_env.registries import TaskLike, make_task
from deft_env.rigs.rig import Frames, Rig
from deft_env.testing.promises import BATCH, expect, keys_of, refuses, same_frame, same_outcome, wished_grasps
from deft_env.testing.tasks import check_task


def check_frames(frames: Frames, keys: Sequence[EpisodeKey], *, pictures: bool = True) -> None:
    """Frames of ``reset_batch(keys)``: one a key, cached, with finite truths where there are any."""
    expect(len(frames) == len(keys) and frames.keys == tuple(keys), "reset_batch returns one frame a key, in order")
    if pictures:
        for i in range(len(keys)):
            frame = frames[i]
            expect(isinstance(frame, Frame), f"frames[{i}] is a Frame")
            expect(same_frame(frame, frames[i]), f"frames[{i}] is the same picture each time")
            turn = frame.T_base_cam[:3, :3]
            expect(np.allclose(turn @ turn.T, np.eye(3), atol=1e-6), "T_base_cam holds a rotation")
            expect(np.isfinite(frame.depth_m).all() and (frame.depth_m >= 0).all(), "depth is finite; 0 is a hole")
    if frames.truths is not None:
        expect(len(frames.truths) == len(keys), "there is one truth a key")
        for truth in frames.truths:
            grasp.check(truth.human_grasp, "human_grasp")
            for name in ("common", "dependent", "noise"):
                vector = grasp.check(getattr(truth.prior_error, name), name)
                expect(vector.shape == (grasp.DIM,), f"prior_error.{name} has shape (22,)")
            expect(truth.descriptor.ndim == 1 and np.isfinite(truth.descriptor).all(), "descriptor: a finite vector")


def check_outcome(outcome: Outcome, key: EpisodeKey, task: TaskLike | None = None) -> None:
    """One outcome: its key, a legal executed grasp, a status with a reason, a judge that saw the signals alone."""
    expect(outcome.key == key, f"the outcome belongs to {key}, got {outcome.key}")
    executed = grasp.check(outcome.executed_grasp, "executed_grasp")
    expect(executed.shape == (grasp.DIM,), f"executed_grasp has shape (22,), got {executed.shape}")
    expect(np.allclose(grasp.executable(executed), executed, atol=1e-6), "executed_grasp is one that a rig can command")
    expect(isinstance(outcome.status, Status), f"status is a Status, got {outcome.status!r}")
    expect(outcome.status is Status.COMPLETED or bool(outcome.reason), f"{outcome.status} comes with a reason")
    expect(outcome.score is None or 0.0 <= outcome.score <= 1.0, f"score lies in [0, 1], got {outcome.score}")
    expect(outcome.success in (None, True, False), f"success is a boolean or None, got {outcome.success!r}")
    for name, series in outcome.signals.items():
        expect(series.ndim == 2 and np.isfinite(series).all(), f"signal {name!r} is a finite series (T, d)")
    if task is not None and outcome.signals and outcome.status is Status.COMPLETED:
        expect(outcome.success == task.success(outcome.signals), "success is the judge's word on the signals")
        expect(outcome.score == task.score(outcome.signals), "score is the judge's word on the signals")
        expect(dict(outcome.subgoals) == dict(task.subgoals(outcome.signals)), "subgoals are the judge's")
    if outcome.last_frame is not None:
        expect(same_frame(outcome.last_frame(), outcome.last_frame()), "last_frame may be called more than once")


def check_rig(make: Callable[[], Rig], *, task: str = "PickCup", pictures: bool = True) -> None:
    """A rig: refusals, statuses, judge; in simulation also determinism and independence of the batch size.

    Args:
        make: makes the rig; called more than once.
        task: a task that the rig can play.
        pictures: whether to render; False where the machine cannot.
    """
    with make() as rig:
        expect(bool(rig.name), "a rig has a name")
        count = BATCH if rig.max_batch is None else min(BATCH, rig.max_batch)
        keys = keys_of(task, count)
        goal = make_task(task, rig)
        check_task(goal)
        tau = [goal.demonstration] * count
        nowhere = np.zeros((count, grasp.DIM))
        refuses(lambda: rig.execute_batch(nowhere, tau), ValueError, "execute_batch without reset_batch: ValueError")
        frames = rig.reset_batch(keys)
        check_frames(frames, keys, pictures=pictures)
        wished = wished_grasps(frames)
        bad = wished.copy()
        bad[0, 0] = np.nan
        refuses(lambda: rig.execute_batch(bad, tau), ValueError, "a grasp with NaN: ValueError")
        refuses(lambda: rig.execute_batch(wished[:, :21], tau), ValueError, "a grasp of 21 numbers: ValueError")
        refuses(lambda: rig.execute_batch(wished, tau[:-1]), ValueError, "a demonstration too few: ValueError")
        first = rig.execute_batch(wished, tau)
        expect(len(first) == count, "execute_batch returns one outcome a grasp")
        for key, outcome in zip(keys, first, strict=True):
            check_outcome(outcome, key, goal if not rig.real else None)
        refuses(lambda: rig.execute_batch(wished, tau), ValueError, "a scene is executed once: ValueError")
        rig.reset_batch(keys)
        for key, outcome in zip(keys, rig.execute_batch(wished + 10.0, tau), strict=True):
            check_outcome(outcome, key)  # a wish far outside is limited or fails; it does not raise
        if not rig.real:
            _check_repeats(rig, keys, wished, tau, first, frames if pictures else None)
        rig.close()
    with make() as fresh:
        if not fresh.real:
            _check_repeats(fresh, keys, wished, tau, first, None)


def _check_repeats(
    rig: Rig,
    keys: Sequence[EpisodeKey],
    wished: NDArray[np.float64],
    tau: Sequence[Demonstration],
    first: Sequence[Outcome],
    frames: Frames | None,
) -> None:
    for i in reversed(range(len(keys))):
        alone = rig.reset_batch([keys[i]])
        if frames is not None:
            expect(same_frame(alone[0], frames[i]), "a scene looks the same alone and in a batch")
        outcome = rig.execute_batch(wished[i : i + 1], tau[:1])[0]
        expect(same_outcome(outcome, first[i]), f"{keys[i]} ends the same alone, in a batch and in a fresh rig")

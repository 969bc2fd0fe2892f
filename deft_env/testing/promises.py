"""How a broken promise is said, and what every suite compares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp
from deft_env.episode import EpisodeKey, Frame, Outcome
from deft_env.rigs.rig import Frames

BATCH: Final = 3


def expect(holds: bool | np.bool_, promise: str) -> None:
    """Raises ``AssertionError`` with the promise unless it holds."""
    if not holds:
        raise AssertionError(promise)


def refuses(call: Callable[[], Any], errors: type[Exception] | tuple[type[Exception], ...], promise: str) -> None:
    """Raises ``AssertionError`` with the promise unless the call raises one of the errors, with a message."""
    try:
        call()
    except errors as error:
        expect(bool(str(error)), f"{promise}: the error has no message")
        return
    raise AssertionError(promise)


def keys_of(task: str, count: int = BATCH, split: str = "train") -> list[EpisodeKey]:
    """The first episodes of as many seeds."""
    return [EpisodeKey(task, split, "train", seed, 0) for seed in range(count)]


def same_frame(a: Frame, b: Frame) -> bool:
    """Whether two frames are the same, bit for bit."""
    pairs = ((a.rgb, b.rgb), (a.depth_m, b.depth_m), (a.K, b.K), (a.T_base_cam, b.T_base_cam))
    return all(np.array_equal(x, y) for x, y in pairs)


def same_outcome(a: Outcome, b: Outcome) -> bool:
    """Whether two outcomes are the same, bit for bit, in all but their pictures."""
    facts = [(o.key, o.status, o.reason, o.success, o.score, dict(o.subgoals), sorted(o.signals)) for o in (a, b)]
    return (
        facts[0] == facts[1]
        and np.array_equal(a.executed_grasp, b.executed_grasp)
        and all(np.array_equal(a.signals[name], b.signals[name], equal_nan=True) for name in a.signals)
    )


def wished_grasps(frames: Frames) -> NDArray[np.float64]:
    """Grasps that a rig can play: a person's where the rig knows it, else the middle of the workspace."""
    if frames.truths is not None:
        return np.stack([truth.human_grasp for truth in frames.truths])
    middle = (grasp.LOW + grasp.HIGH) / 2
    middle[grasp.WRIST] = 0.0
    return np.tile(middle, (len(frames), 1))

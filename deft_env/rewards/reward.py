"""The contract of a reward: what the agent is told, kept apart from success and score (our choice)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env.episode import Outcome, Status
from deft_env.registries import TaskLike
from deft_env.rigs.rig import Frames


def _take(frames: Frames, rows: list[int]) -> Frames:
    """Some rows of a batch of frames, still lazy."""
    truths = None if frames.truths is None else [frames.truths[i] for i in rows]
    return Frames([frames.keys[i] for i in rows], lambda j: frames[rows[j]], truths, frames.many)


class Reward(ABC):
    """Rates executed episodes.

    A ``failed`` episode gets the worst of the range, and its outcome is not looked at. A ``faulted`` or ``voided`` one
    has no reward: NaN. Row i depends on frame and outcome i alone, bit for bit, whatever the batch size.

    Attributes:
        name: registry name.
        range: (low, high), finite: every reward lies in it.
        higher_is_better: direction.
        needs_operator: whether a person is asked, so that the call blocks until they answered.
        stand_in: whether it stands in for something real, such as a pretrained network; outputs name it as such.
    """

    name: str = ""
    range: tuple[float, float] = (0.0, 1.0)
    higher_is_better: bool = True
    needs_operator: bool = False
    stand_in: bool = False

    @property
    def worst(self) -> float:
        """The reward of a failed episode: the lowest of the range (the highest where lower is better)."""
        return self.range[0] if self.higher_is_better else self.range[1]

    def __call__(self, before: Frames, outcomes: Sequence[Outcome], task: TaskLike) -> NDArray[np.float64]:
        """Rewards (N,), one for each outcome; see the class for failed, faulted and voided ones.

        Args:
            before: the first frames of the scenes, in the same order; rendered only if a reward looks at them.
            outcomes: what happened.
            task: what was to be done.

        Raises:
            ValueError: if the numbers do not match, an outcome lacks what this reward needs, or a subclass returned
                something outside its own range.
        """
        if len(before) != len(outcomes):
            raise ValueError(f"reward {self.name!r}: got {len(before)} first frames for {len(outcomes)} outcomes")
        rewards = np.full(len(outcomes), np.nan)
        done = [i for i, o in enumerate(outcomes) if o.status is Status.COMPLETED]
        for i, outcome in enumerate(outcomes):
            if outcome.status is Status.FAILED:
                rewards[i] = self.worst
        if not done:
            return rewards
        if len(done) == len(outcomes):
            seen, rated = before, outcomes
        else:
            seen, rated = _take(before, done), [outcomes[i] for i in done]
        values = np.asarray(self.rate(seen, rated, task), dtype=np.float64)
        low, high = self.range
        if values.shape != (len(done),) or not ((values >= low) & (values <= high)).all():
            raise ValueError(f"reward {self.name!r}: expected ({len(done)},) values in [{low}, {high}], got {values}")
        rewards[done] = values
        return rewards

    @abstractmethod
    def rate(self, before: Frames, outcomes: Sequence[Outcome], task: TaskLike) -> ArrayLike:
        """What a subclass computes: rewards (N,) of ``completed`` outcomes."""

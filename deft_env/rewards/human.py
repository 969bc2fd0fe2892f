"""The ``human`` reward: the operator's continuous score from 0 to 1 (paper, section 4)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deft_env.episode import Outcome, Status
from deft_env.registries import TaskLike
from deft_env.rewards.reward import Reward
from deft_env.rigs.operator import Operator, current_operator
from deft_env.rigs.rig import Frames


class HumanReward(Reward):
    """Asks the operator that the rig shares, and blocks until there is an answer: ``env.step`` waits for a person.

    The run loop does not call this: it takes the person's words as they come (``deft_experiments.operator_desk``).
    """

    name = "human"
    needs_operator = True

    def __init__(self, *, operator: Operator | None = None) -> None:
        """Asks ``operator``; by default the process's own (``current_operator``), looked up at each episode."""
        self._operator = operator

    def __call__(self, before: Frames, outcomes: Sequence[Outcome], task: TaskLike) -> NDArray[np.float64]:
        """Rewards (N,) as in ``Reward``; a voided episode gets NaN.

        Where ``outcomes`` is a list, its entries are replaced by ones with the person's success and score, or with the
        status ``voided``: nobody else knows them.

        Raises:
            OperatorGoneError: if nobody answers.
        """
        if len(before) != len(outcomes):
            raise ValueError(f"reward {self.name!r}: got {len(before)} first frames for {len(outcomes)} outcomes")
        rewards = np.full(len(outcomes), np.nan)
        for i, outcome in enumerate(outcomes):
            if outcome.status is Status.FAILED:
                rewards[i] = self.worst
            if outcome.status is not Status.COMPLETED:
                continue
            verdict = (self._operator or current_operator()).judge(before[i], outcome)
            if not verdict.void:
                rewards[i] = float(verdict.score or 0.0)
            if isinstance(outcomes, list):
                outcomes[i] = (
                    dataclasses.replace(outcome, status=Status.VOIDED, reason=verdict.void)
                    if verdict.void
                    else dataclasses.replace(outcome, success=verdict.success, score=verdict.score)
                )
        return rewards

    def rate(self, before: Frames, outcomes: Sequence[Outcome], task: TaskLike) -> NDArray[np.float64]:
        """Scores (N,); see ``__call__``, which treats voided episodes too."""
        return self(before, outcomes, task)

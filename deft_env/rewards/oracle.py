"""Rewards that ask the judge: ``oracle`` (the score, as an operator would give it) and ``success``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deft_env.episode import Outcome
from deft_env.registries import TaskLike
from deft_env.rewards.reward import Reward
from deft_env.rigs.rig import Frames


@dataclass(frozen=True, slots=True)
class OracleConfig:
    """How a simulated operator's score differs from the judge's.

    Attributes:
        noise: standard deviation added to the score before it is clipped to [0, 1]; 0 for none.
        step: scores are rounded to multiples of this, 0.1 as a person would; 0 for no rounding.

    Raises:
        ValueError: for a negative or not finite noise, or a step outside [0, 1].
    """

    noise: float = 0.0
    step: float = 0.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.noise) and self.noise >= 0.0):
            raise ValueError(f"noise: expected a finite number >= 0, got {self.noise!r}")
        if not 0.0 <= self.step <= 1.0:
            raise ValueError(f"step: expected a number in [0, 1], got {self.step!r}")


def _nobody_said(name: str, word: str, outcome: Outcome) -> ValueError:
    return ValueError(
        f"reward {name!r} needs the judge's {word}, but nobody gave one for {outcome.key}; "
        "on a rig without a judge use reward='human'"
    )


class OracleReward(Reward):
    """The judge's score in [0, 1], in place of a person's; noise is drawn from the key's purpose ``"judge"``."""

    name = "oracle"
    stand_in = True
    Config = OracleConfig

    def __init__(self, config: OracleConfig | None = None) -> None:
        """Keeps the configuration."""
        self.config = config or OracleConfig()

    def rate(self, before: Frames, outcomes: Sequence[Outcome], task: TaskLike) -> NDArray[np.float64]:
        """Scores (N,).

        Raises:
            ValueError: if an outcome has no score.
        """
        noise, step = self.config.noise, self.config.step
        out = np.empty(len(outcomes))
        for i, outcome in enumerate(outcomes):
            if outcome.score is None:
                raise _nobody_said(self.name, "score", outcome)
            score = outcome.score
            if noise:
                score = score + noise * float(outcome.key.generator("judge").standard_normal())
            if step:
                score = round(score / step) * step
            out[i] = min(max(score, 0.0), 1.0)
        return out


class SuccessReward(Reward):
    """1 for success by the judge's word, in place of a person's, 0 otherwise."""

    name = "success"
    stand_in = True

    def rate(self, before: Frames, outcomes: Sequence[Outcome], task: TaskLike) -> NDArray[np.float64]:
        """Zeros and ones (N,).

        Raises:
            ValueError: if an outcome has no success.
        """
        for outcome in outcomes:
            if outcome.success is None:
                raise _nobody_said(self.name, "success", outcome)
        return np.array([float(bool(outcome.success)) for outcome in outcomes])

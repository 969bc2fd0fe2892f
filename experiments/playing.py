"""What playing an episode takes, in fine-tuning and in evaluation alike: contexts, rewards, kept outcomes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from deft_env import observation
from deft_env.episode import Context, EpisodeKey, Frame, Outcome, Status
from deft_env.rigs.operator import OperatorGoneError
from deft_env.rigs.rig import Frames
from deft_experiments import spent
from deft_experiments.errors import RigError
from deft_experiments.parts import Parts
from deft_experiments.run import Run

LARGEST_BATCH: Final = 64
"""Episodes in one batch of a rig that sets no limit (memory); no result depends on it."""


class Keeper(Protocol):
    """Keeps pictures of episodes (``deft_experiments.images``)."""

    def keep(self, run: Run, name: str, before: Callable[[], Frame], outcome: Outcome) -> None:
        """Called when an episode was executed, before that is recorded."""

    def scored(self, run: Run) -> None:
        """Called when an episode was scored."""

    def frame(self, run: Run, name: str, which: str) -> Frame:
        """Reads a kept picture, ``"first"`` or ``"last"``."""


def contexts(parts: Parts, frames: Frames) -> list[Context]:
    """What agents see of a batch of scenes: xi and, with an encoder, features of the first images.

    Raises:
        PriorFailureError: if the prior finds nothing to grasp.
    """
    xi = parts.prior(frames, parts.task)
    if parts.encoder is None:
        return [Context(row) for row in xi]
    features = parts.encoder(np.stack([observation.image(frame) for frame in frames[:]]))  # drawn at once
    return [Context(row, f, parts.encoder.name) for row, f in zip(xi, features, strict=True)]


def rate(parts: Parts, frames: Frames, outcomes: Sequence[Outcome]) -> tuple[NDArray[np.float64], list[Outcome]]:
    """Rewards (N,), and the outcomes with what a person added: success and score, or that the episode is void.

    Raises:
        RigError: if the operator is gone; what was executed is stored, and waits for its score.
    """
    judged = list(outcomes)
    try:
        with parts.clock(spent.REWARDS):
            return parts.reward(frames, judged, parts.task), judged
    except OperatorGoneError as error:
        raise RigError(
            f"the operator does not answer ({error}); what was executed is stored: resume to score it"
        ) from error


def stored_outcomes(
    names: Sequence[tuple[Run, str]],
    payloads: Sequence[Mapping[str, Any]],
    keys: Sequence[EpisodeKey],
    keeper: Keeper | None,
) -> tuple[Frames, list[Outcome]]:
    """Frames and outcomes as the log and the kept pictures (under ``names``) have them."""

    def picture(i: int, which: str) -> Frame:
        if keeper is None:
            raise RigError(f"episode {keys[i]}: its pictures were not kept; void it")
        return keeper.frame(*names[i], which)

    outcomes = [
        Outcome(
            key=key,
            executed_grasp=np.array(data["executed_grasp"]),
            status=Status(data["status"]),
            reason=data["reason"],
            success=data["success"],
            score=data["score"],
            subgoals=dict(data["subgoals"]),
            last_frame=functools.partial(picture, i, "last"),
        )
        for i, (key, data) in enumerate(zip(keys, payloads, strict=True))
    ]
    return Frames(keys, functools.partial(picture, which="first")), outcomes

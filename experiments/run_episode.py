"""A training episode of a run: what its log says of it so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deft_env.episode import Status, Trial
from deft_experiments.store import Event


def episode_name(k: int) -> str:
    """The name of a training episode among its run's pictures."""
    return f"{k:04d}"


@dataclass(slots=True)
class Episode:
    """What the log says of one episode of a run.

    Attributes:
        k: number, from 0.
        attempt: faults and voids so far.
        trial: what the agent proposed, in the context of the last attempt; None before the first ask.
        executed: content of the ``executed`` event of the last attempt; None while that is to come.
        rewards: every score of the last attempt in the order they came, as the reward gives them; the last one counts.
        told: what the agent was told; None before.
        voided: whether an operator voided it after it was told: kept, left out of re-fits.
    """

    k: int
    attempt: int = 0
    trial: Trial | None = None
    asked: bool = False
    executed: Mapping[str, Any] | None = None
    rewards: list[float] = field(default_factory=list)
    told: float | None = None
    voided: bool = False
    success: bool | None = None
    score: float | None = None

    @property
    def counts(self) -> bool:
        """Whether it was executed and counts as one of N; a faulted or voided attempt leaves nothing here."""
        return self.executed is not None

    def again(self) -> None:
        """The same trial is to run again on a fresh scene."""
        self.attempt += 1
        self.asked, self.executed, self.rewards, self.success, self.score = False, None, [], None, None

    def apply(self, event: Event) -> None:
        """Takes up one event; what ``told`` does to the agent is the run's business."""
        payload = event.payload
        if event.kind == "asked":
            self.asked = True
        elif event.kind == "executed":
            if Status(payload["status"]).counts:
                self.executed = payload
            else:
                self.again()
        elif event.kind == "scored":
            self.rewards.append(float(payload["reward"]))
            self.success = payload.get("success", self.success)
            self.score = payload.get("score", self.score)
        elif event.kind == "voided":
            if self.told is None:
                self.again()
            else:
                self.voided = True
        elif event.kind == "told":
            self.told = float(payload["reward"])

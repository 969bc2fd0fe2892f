"""The evaluation of a run's frozen policies, as its log has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deft_env.episode import EpisodeKey, Status
from deft_experiments.run_log import RunLog
from deft_experiments.store import Event

Place = tuple[str, int, str, int]
"""(policy, after, split, k): whose episode, fitted to how many, on which objects, and which one."""


class Evaluations:
    """Records evaluation episodes of one run.

    Attributes:
        done: the episodes that were executed and judged.
        waiting: what was executed, of episodes that wait for a person's verdict.
    """

    def __init__(self, log: RunLog, reward: str) -> None:
        """Nothing yet; ``reward`` names the source of verdicts."""
        self.done: set[Place] = set()
        self.waiting: dict[Place, Mapping[str, Any]] = {}
        self._attempts: dict[Place, int] = {}
        self._log, self._reward = log, reward

    def executed(self, policy: str, after: int, key: EpisodeKey, payload: dict[str, Any], seconds: float) -> None:
        """Records an executed episode of a frozen policy.

        Raises:
            RigError: after ``MAX_ATTEMPTS`` faults and voids in a row.
        """
        self._emit("executed", policy, after, key, payload, seconds)
        if Status(payload["status"]).counts:
            self._log.went_well()
        else:
            self._log.went_wrong(key, f"{payload['status']}: {payload['reason'] or 'no reason given'}")

    def verdict(
        self, policy: str, after: int, key: EpisodeKey, reward: float, *, success: bool | None, score: float | None
    ) -> None:
        """Records a person's verdict on an episode that was executed."""
        payload = {"reward": float(reward), "source": self._reward, "success": success, "score": score}
        self._emit("scored", policy, after, key, payload)

    def void(self, policy: str, after: int, key: EpisodeKey, reason: str) -> None:
        """Records that an episode was not the policy's doing; it runs again on a fresh scene."""
        self._emit("voided", policy, after, key, {"reason": reason})
        self._log.went_wrong(key, f"voided: {reason}")

    def _emit(
        self,
        kind: str,
        policy: str,
        after: int,
        key: EpisodeKey,
        payload: Mapping[str, Any],
        seconds: float | None = None,
    ) -> None:
        place = (policy, after, key.split, key.k)
        self.apply(self._log.append(kind, "eval", place, self._attempts.get(place, 0), payload, seconds))

    def apply(self, event: Event) -> None:
        """Takes up one event of the log, new or replayed."""
        place = (event.policy, event.after, event.split, event.k)
        self.waiting.pop(place, None)
        self.done.discard(place)
        if event.kind == "voided" or (event.kind == "executed" and not Status(event.payload["status"]).counts):
            self._attempts[place] = event.attempt + 1
        elif event.kind == "executed" and event.payload["success"] is None:
            self.waiting[place], self._attempts[place] = event.payload, event.attempt
        else:
            self.done.add(place)
            self._attempts.pop(place, None)

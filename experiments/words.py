"""What a person says of episodes while a run goes on, and where a loop hears it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Word:
    """What a person says of an episode, at any time: a score, a correction, or that it must be voided.

    Attributes:
        k: the episode.
        reward: the score; None when voided.
        success: whether the task succeeded; None where the person does not say.
        void: the reason to void it; empty otherwise.
        run: id of the run; empty when there is but one.
    """

    k: int
    reward: float | None = None
    success: bool | None = None
    void: str = ""
    run: str = ""


class Inbox(Protocol):
    """Where words of a person come from (a console, a script)."""

    def poll(self) -> Iterable[Word]:
        """Whatever came since the last call; never blocks."""

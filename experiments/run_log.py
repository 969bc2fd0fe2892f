"""The growing end of one run's log: events get their number there, and mishaps in a row are counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from deft_env.episode import EpisodeKey
from deft_experiments.errors import ReplayError, RigError
from deft_experiments.store import Event, Store

MAX_ATTEMPTS: Final = 10
"""Faults and voids of one episode in a row before a run stops (our choice); it resumes when the rig is mended."""


class RunLog:
    """Numbers and stores the events of a run.

    Attributes:
        run: id of the run.
        cursor: sequence number of the next event.
        mishap: why the newest attempt did not count; empty after one that did.
    """

    def __init__(self, run: str, store: Store) -> None:
        """An end at the beginning: replaying moves it on."""
        self.run, self.cursor, self.mishap = run, 0, ""
        self._store, self._mishaps = store, 0

    def append(
        self,
        kind: str,
        role: str,
        place: tuple[str, int, str, int],
        attempt: int,
        payload: Mapping[str, Any],
        seconds: float | None = None,
    ) -> Event:
        """Stores the next event and returns it; ``place`` is (policy, after, split, k).

        Raises:
            StoreError: if it cannot be stored; the log then ends where it did.
        """
        event = Event(self.run, self.cursor, kind, role, *place, attempt, payload, seconds)
        self._store.append(event)
        self.cursor += 1
        return event

    def replay(self, event: Event) -> None:
        """Moves on over a stored event.

        Raises:
            ReplayError: if one before it is missing.
        """
        if event.seq != self.cursor:
            raise ReplayError(
                f"run {self.run}: event {self.cursor} is missing from the log; restore the store from a copy"
            )
        self.cursor += 1

    def went_well(self) -> None:
        """An attempt counts: the mishaps before it are over."""
        self._mishaps, self.mishap = 0, ""

    def went_wrong(self, key: EpisodeKey, why: str) -> None:
        """Counts faults and voids in a row since the run was opened, so that a mended rig starts from none.

        Raises:
            RigError: at the ``MAX_ATTEMPTS``-th.
        """
        self._mishaps, self.mishap = self._mishaps + 1, why
        if self._mishaps >= MAX_ATTEMPTS:
            raise RigError(
                f"episode {key} was faulted or voided {MAX_ATTEMPTS} times (last: {why}); everything is stored: "
                "mend the rig and resume"
            )

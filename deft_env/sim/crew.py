"""Several pieces of work at once, by threads that stay: for drawing, where each keeps OpenGL contexts of its own."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Final, TypeVar

T = TypeVar("T")
_PATIENCE_S: Final = 10.0
"""How long a helper that is sent home is waited for; it is idle then, or draws its last picture."""


class _Job:
    """Pieces of work that threads take one by one."""

    def __init__(self, works: Sequence[Callable[[], Any]]) -> None:
        self._works, self._lock = works, threading.Lock()
        self._taken, self._left = 0, len(works)
        self.results: list[Any] = [None] * len(works)
        self.errors: dict[int, BaseException] = {}
        self.done = threading.Event()

    def run(self) -> None:
        """Takes pieces until none is left; after an error the rest is left undone."""
        while True:
            with self._lock:
                i, self._taken = self._taken, self._taken + 1
            if i >= len(self._works):
                return
            try:
                if not self.errors:
                    self.results[i] = self._works[i]()
            except BaseException as error:
                self.errors[i] = error
            finally:
                with self._lock:
                    self._left -= 1
                    if not self._left:
                        self.done.set()


def _serve(jobs: SimpleQueue[_Job | None], at_end: Callable[[], None]) -> None:
    """Life of a helper."""
    while (job := jobs.get()) is not None:
        job.run()
        del job  # and the pictures that it holds
    at_end()


def _send_home(jobs: SimpleQueue[_Job | None], helpers: list[threading.Thread]) -> None:
    gone = helpers[:]
    helpers.clear()
    for _ in gone:
        jobs.put(None)
    for helper in gone:
        if helper is not threading.current_thread():
            helper.join(_PATIENCE_S)


class Crew:
    """The calling thread and helpers, which start when first needed and stay until ``close``.

    Forgotten crews, and those alive when Python ends, send their helpers home.
    """

    def __init__(self, threads: int, at_end: Callable[[], None]) -> None:
        """Starts nothing yet.

        Args:
            threads: most threads at once, the calling one included.
            at_end: what a helper does before it ends, such as freeing what it keeps.
        """
        self.threads, self._at_end, self._lock = threads, at_end, threading.Lock()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._helpers: list[threading.Thread] = []
        weakref.finalize(self, _send_home, self._jobs, self._helpers)

    def map(self, works: Sequence[Callable[[], T]]) -> list[T]:
        """What each of ``works`` returns, in their order.

        The calling thread works too. May be called from several threads.

        Raises:
            BaseException: what a piece of work raised, of several the first in order; the rest may be undone.
        """
        wanted = min(self.threads, len(works)) - 1
        if wanted < 1:
            return [work() for work in works]
        with self._lock:
            while len(self._helpers) < wanted:
                name = f"deft-draws-{len(self._helpers) + 1}"
                helper = threading.Thread(target=_serve, args=(self._jobs, self._at_end), name=name, daemon=True)
                helper.start()
                self._helpers.append(helper)
        job = _Job(works)
        for _ in range(wanted):
            self._jobs.put(job)
        try:
            job.run()
            job.done.wait()
        except BaseException as error:  # interrupted while others work: they stop after the piece they are at
            job.errors[-1] = error
        if job.errors:
            raise job.errors[min(job.errors)]
        return job.results

    def close(self) -> None:
        """Ends the helpers; may be called twice, and ``map`` starts others."""
        _send_home(self._jobs, self._helpers)

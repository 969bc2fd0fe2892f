"""The emergency stop at the terminal: while the robot moves, Enter stops it."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable
from typing import Any, Self, TextIO


class StopKey:
    """Watches a terminal in a thread of its own, as a context manager; does nothing where there is no terminal."""

    def __init__(self, stop: Callable[[str], None], *, stream: TextIO | None = None) -> None:
        """Watches nothing yet.

        Args:
            stop: called once with a reason, in the watching thread, when a line was typed.
            stream: the terminal; standard input by default.
        """
        self._stop, self._stream = stop, sys.stdin if stream is None else stream
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._stream is None or self._stream.closed or not self._stream.isatty():
            return self
        import termios

        fd = self._stream.fileno()
        # What was typed before the robot moved is no stop.
        termios.tcflush(fd, termios.TCIFLUSH)
        self._wake, self._done = os.pipe()
        self._thread = threading.Thread(target=self._watch, args=(fd, self._wake), name="stop-key", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            os.write(self._done, b"x")
            thread.join()
            os.close(self._done)
            os.close(self._wake)

    def _watch(self, fd: int, wake: int) -> None:
        ready, _, _ = select.select([fd, wake], [], [])
        # A terminal that went away (it reads as empty) is nobody's word: leaving it to the motion's end.
        if fd in ready and os.read(fd, 4096):
            self._stop("Enter at the terminal")

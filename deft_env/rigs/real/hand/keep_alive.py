"""A thread that asks the motors for alerts often enough that their own watchdogs never trip while the process lives."""

from __future__ import annotations

import threading
from collections.abc import Callable

from deft_env.rigs.real.hand.errors import HandError


class KeepAlive:
    """Polls until the first error, which it keeps for the main thread.

    Attributes:
        alarm: the error that ended the polling; None while all is well.
    """

    def __init__(self, poll: Callable[[], None], period_s: float) -> None:
        """Starts nothing yet; ``poll`` raises a ``HandError`` when something is wrong."""
        self.alarm: HandError | None = None
        self._poll, self._period_s = poll, period_s
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts polling, unless it is already on."""
        if self._thread is None or not self._thread.is_alive():
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="hand-keep-alive", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Ends the polling and forgets what it found; may be called twice, and from the polling thread itself."""
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=2.0)
        self.alarm = None

    def raise_alarm(self) -> None:
        """Raises what the polling found, once.

        Raises:
            HandError: if it found something.
        """
        alarm, self.alarm = self.alarm, None
        if alarm is not None:
            raise alarm

    def _run(self) -> None:
        while not self._stop.wait(self._period_s):
            try:
                self._poll()
            except HandError as error:
                self.alarm = error
                return

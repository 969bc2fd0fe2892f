"""A hand goes limp however the program ends: normal exit, an exception, SIGTERM, SIGHUP. Nothing helps against SIGKILL.

Unlike the arm's guard (``arm.guard``) it calls a program's own signal handlers too, after the torque is off.
"""

from __future__ import annotations

import atexit
import signal
import threading
import weakref
from types import FrameType
from typing import Any, Protocol


class Limp(Protocol):
    """What can drop its torque, and be closed for good."""

    def relax(self) -> None:
        """Drops the torque; never raises."""

    def close(self) -> None:
        """Drops the torque and frees the device."""


class ExitGuard:
    """Watches the ways out of the program for one hand, without keeping it alive."""

    def __init__(self) -> None:
        """Watches nothing yet."""
        self._old_signals: dict[int, Any] = {}

    def watch(self, hand: Limp) -> None:
        """From now on the program does not end without ``hand`` going limp. Signals: from the main thread alone."""
        reference = weakref.ref(hand)

        def at_exit() -> None:
            hand = reference()
            if hand is not None:
                hand.close()

        atexit.register(at_exit)
        if threading.current_thread() is not threading.main_thread():
            return

        def on_signal(number: int, frame: FrameType | None) -> None:
            hand = reference()
            old = self._old_signals.get(number) if hand is not None else None
            if hand is not None:
                hand.relax()
            if callable(old):
                old(number, frame)
            else:
                raise SystemExit(128 + number)

        for number in (signal.SIGTERM, signal.SIGHUP) if hasattr(signal, "SIGHUP") else (signal.SIGTERM,):
            self._old_signals[number] = signal.signal(number, on_signal)

    def release(self) -> None:
        """Gives the signals back, where this is the main thread."""
        if threading.current_thread() is threading.main_thread():
            for number, old in self._old_signals.items():
                signal.signal(number, old)
        self._old_signals = {}

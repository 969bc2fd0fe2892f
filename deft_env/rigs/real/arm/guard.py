"""Closes arms however the program ends: normal exit, an exception, Ctrl-C, SIGTERM.

The vendor's SDK has bare ``except`` clauses around its waits, which swallow a KeyboardInterrupt that happens there.
So the signal handlers here also leave the exception with every arm that is inside an SDK call, and the driver raises
it as soon as that call returns. Nothing helps against SIGKILL.
"""

from __future__ import annotations

import atexit
import signal
import threading
from types import FrameType
from typing import Any, Final, Protocol


class Guarded(Protocol):
    """What can be closed, and whether it is inside a call that might swallow an exception."""

    in_call: bool
    pending: BaseException | None

    def close(self) -> None:
        """Leaves the device safe."""


_open: Final[list[Guarded]] = []
_DEFAULTS: Final = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
_replaced: Final[set[signal.Signals]] = set()


def _on_signal(number: int, _frame: FrameType | None) -> None:
    error: BaseException = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
    for arm in _open:
        if arm.in_call:
            arm.pending = error
    raise error


def watch(arm: Guarded) -> None:
    """From now on the program does not end without closing ``arm``. A program's own signal handlers are left alone."""
    _open.append(arm)
    if threading.current_thread() is threading.main_thread():
        for number, default in _DEFAULTS.items():
            if signal.getsignal(number) == default:
                signal.signal(number, _on_signal)
                _replaced.add(number)


def release(arm: Guarded) -> None:
    """Undoes ``watch``."""
    if arm in _open:
        _open.remove(arm)
    if not _open and threading.current_thread() is threading.main_thread():
        for number in tuple(_replaced):
            if signal.getsignal(number) is _on_signal:
                default: Any = _DEFAULTS[number]
                signal.signal(number, default)
            _replaced.discard(number)


@atexit.register
def close_all() -> None:
    """Closes every open arm; what goes wrong with one is raised after the others are closed."""
    errors: list[Exception] = []
    for arm in tuple(_open):
        try:
            arm.close()
        except Exception as error:
            errors.append(error)
    if errors:
        raise ExceptionGroup("arms could not be closed", errors)

"""Errors that a user can mend; the command prints their message alone, without a traceback."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3

_READ_ONLY: Final = {errno.EACCES, errno.EROFS, errno.EPERM}


class DeftError(Exception):
    """Something a user can mend. The message says what was expected, what came and what to do."""

    exit_code = 1


class UsageError(DeftError):
    """A bad argument: an unknown name, a number out of range, a file that is not there."""

    exit_code = 2


class RigError(DeftError):
    """The rig could not go on; everything so far is stored, and the run resumes."""


class ReplayError(DeftError):
    """A resumed run does not reproduce its own log."""


class StoreError(DeftError):
    """A store could not be opened, read or written."""


class StoreMissingError(StoreError):
    """There is no store at this path."""


class StoreLockedError(StoreError):
    """Another process is writing this store."""


class StoreCorruptError(StoreError):
    """The file is damaged, or is no store."""


class StoreFullError(StoreError):
    """The disk is full, or the file may not grow."""


class StoreReadOnlyError(StoreError):
    """The store or its folder cannot be written."""


class StoreVersionError(StoreError):
    """The store was written by a newer version."""


class MergeConflictError(StoreError):
    """Two stores hold different events under the same key."""


def explain(error: sqlite3.Error | OSError, path: Path) -> StoreError:
    """The clear error for what SQLite or the file system said of the store at ``path``."""
    text = str(error).lower()
    if isinstance(error, OSError):
        if error.errno == errno.ENOSPC:
            return StoreFullError(f"{path}: the disk is full; free some space and resume, nothing stored is lost")
        if error.errno in _READ_ONLY:
            return StoreReadOnlyError(f"{path}: cannot be written ({error.strerror}); mend its permissions")
        return StoreError(f"{path}: {error}")
    if "locked" in text or "busy" in text:
        return StoreLockedError(
            f"{path}: another process is writing it; wait for it or stop it, then resume (nothing stored is lost)"
        )
    if "full" in text:
        return StoreFullError(f"{path}: the disk is full; free some space and resume, nothing stored is lost")
    if "readonly" in text or "read-only" in text or "unable to open" in text:
        return StoreReadOnlyError(f"{path}: cannot be written ({error}); mend the permissions of file and folder")
    if "malformed" in text or "not a database" in text or "corrupt" in text or "disk i/o" in text:
        return StoreCorruptError(
            f"{path}: the file is damaged or is no store ({error}); restore a copy, or move it away and start anew"
        )
    return StoreError(f"{path}: {error}")

"""Errors that a user can mend; the command prints their message alone, without a traceback."""

from __future__ import annotations


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

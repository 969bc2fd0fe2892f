"""The store's file: who may write it, and how it is opened."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Final

from deft_experiments import errors, schema

BUSY_TIMEOUT_S: Final = 5.0


class WriterLock:
    """Held by the one process that writes a store; the kernel releases it when that process is killed."""

    def __init__(self, store: Path) -> None:
        """Takes the lock.

        Raises:
            StoreLockedError: if another process has it.
        """
        # Beside the file, not on it: SQLite's own locks live there.
        self._file: int | None = os.open(f"{store}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, str(os.getpid()).encode(), 0)
        except BlockingIOError:
            writer = os.pread(self._file, 32, 0).decode(errors="replace").strip() or "unknown"
            self.release()
            raise errors.StoreLockedError(
                f"{store}: another process (pid {writer}) is writing it; wait for it or stop it"
            ) from None
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Lets others write; may be called twice."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def connect(path: Path, mode: str, *, durable: bool) -> sqlite3.Connection:
    """Opens a store's file, which ``mode`` ``"w"`` also makes; see ``Store``.

    Raises:
        StoreCorruptError: if it is no store; ``StoreVersionError`` if a newer version wrote it.
        sqlite3.Error, OSError: what SQLite or the file system says.
    """
    writable = mode != "r"
    if writable and path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    target = f"{path.absolute().as_uri()}?mode={'rwc' if mode == 'w' else 'rw' if writable else 'ro'}"
    db = sqlite3.connect(target, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        application = db.execute("PRAGMA application_id").fetchone()[0]
        version = db.execute("PRAGMA user_version").fetchone()[0]
        empty = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if empty and mode == "w":
            db.execute("PRAGMA journal_mode=WAL")
            db.executescript(
                f"BEGIN; PRAGMA application_id={schema.APPLICATION_ID}; PRAGMA user_version={schema.VERSION};"
                f"{schema.TABLES}{schema.VIEWS} COMMIT;"
            )
        elif application != schema.APPLICATION_ID:
            raise errors.StoreCorruptError(f"{path}: this SQLite file is no DEFT store; name another path")
        elif version > schema.VERSION:
            raise errors.StoreVersionError(
                f"{path}: written by a newer version (schema {version}, this one reads {schema.VERSION}); update deft"
            )
        db.execute("PRAGMA foreign_keys=ON")
        db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
    except BaseException:
        db.close()
        raise
    return db

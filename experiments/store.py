"""The store: an append-only event log per run, in one SQLite file (WAL).

An episode that was executed is durable before anybody scores it. Nothing is ever updated or deleted: a score that came
late or was corrected is one more event, and a run resumes by replaying its events (``deft_experiments.run``).
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from deft_experiments import errors, schema

FILE_NAME: Final = "store.sqlite"
SUFFIX: Final = ".sqlite"
BUSY_TIMEOUT_S: Final = 5.0
_FIELDS: Final = ("run", "seq", "kind", "role", "policy", "after", "split", "k", "attempt", "payload", "seconds", "at")
_COLUMNS: Final = ", ".join(_FIELDS)
_READ_ONLY: Final = {errno.EACCES, errno.EROFS, errno.EPERM}


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a run's log.

    Attributes:
        run: id of the run.
        seq: position in the run's log, from 0 without gaps.
        kind: one of ``schema.KINDS``.
        role: ``"train"`` or ``"eval"``.
        policy: the evaluated policy; empty while training.
        after: fine-tuning episodes that the evaluated policy was fitted to; 0 while training.
        split: ``"train"`` or ``"test"``.
        k: the episode of its role, policy and split, from 0.
        attempt: 0, or one more for every fault or void of this episode.
        payload: JSON-able content, the same whenever the run is repeated.
        seconds: wall time that an executed episode took; None elsewhere.
        at: wall clock, seconds since 1970; outside every promise of reproducibility.
    """

    run: str
    seq: int
    kind: str
    role: str
    policy: str
    after: int
    split: str
    k: int
    attempt: int
    payload: Mapping[str, Any]
    seconds: float | None = None
    at: float = 0.0


def explain(error: sqlite3.Error | OSError, path: Path) -> errors.StoreError:
    """The clear error for what SQLite or the file system said of the store at ``path``."""
    text = str(error).lower()
    if isinstance(error, OSError):
        if error.errno == errno.ENOSPC:
            return errors.StoreFullError(
                f"{path}: the disk is full; free some space and resume, nothing stored is lost"
            )
        if error.errno in _READ_ONLY:
            return errors.StoreReadOnlyError(f"{path}: cannot be written ({error.strerror}); mend its permissions")
        return errors.StoreError(f"{path}: {error}")
    if "locked" in text or "busy" in text:
        return errors.StoreLockedError(
            f"{path}: another process is writing it; wait for it or stop it, then resume (nothing stored is lost)"
        )
    if "full" in text:
        return errors.StoreFullError(f"{path}: the disk is full; free some space and resume, nothing stored is lost")
    if "readonly" in text or "read-only" in text or "unable to open" in text:
        return errors.StoreReadOnlyError(
            f"{path}: cannot be written ({error}); mend the permissions of file and folder"
        )
    if "malformed" in text or "not a database" in text or "corrupt" in text or "disk i/o" in text:
        return errors.StoreCorruptError(
            f"{path}: the file is damaged or is no store ({error}); restore a copy, or move it away and start anew"
        )
    return errors.StoreError(f"{path}: {error}")


class Store:
    """A store, opened for reading or writing; one writer at a time, any number of readers.

    Args:
        path: the SQLite file (``*.sqlite``), or a folder that holds ``store.sqlite``.
        mode: ``"r"`` reads; ``"a"`` appends to an existing store; ``"w"`` also creates a missing one.
        durable: whether every commit waits for the disk (``synchronous=FULL``: for real rigs and people); otherwise a
            commit survives ``kill -9`` but the last ones may be lost with the power.

    Raises:
        StoreMissingError: if there is no store and ``mode`` does not create one.
        StoreLockedError: if another process writes it.
        StoreCorruptError: if the file is damaged or is no store.
        StoreVersionError: if a newer version wrote it.
        StoreReadOnlyError: if it cannot be written.
        StoreFullError: if the disk is full.
    """

    def __init__(self, path: str | Path, mode: str = "r", *, durable: bool = True) -> None:
        if mode not in ("r", "a", "w"):
            raise ValueError(f"mode: expected 'r', 'a' or 'w', got {mode!r}")
        path = Path(path)
        self.path = path if path.suffix == SUFFIX and not path.is_dir() else path / FILE_NAME
        self.mode, self.durable = mode, durable
        self._lock: int | None = None
        self._deferred = False
        if mode != "w" and not self.path.is_file():
            raise errors.StoreMissingError(
                f"{self.path}: there is no store here; `deft tune` and `deft bench` make one"
            )
        try:
            if mode == "w":
                self.path.parent.mkdir(parents=True, exist_ok=True)
            if mode != "r":
                self._take_lock()
            self._db = self._connect()
        except (sqlite3.Error, OSError) as error:
            self._drop_lock()
            raise explain(error, self.path) from None
        except BaseException:
            self._drop_lock()
            raise

    # --- opening ----------------------------------------------------------------------------------------------------
    def _take_lock(self) -> None:
        # Beside the file, not on it: SQLite's own locks live there. The kernel releases it when a process is killed.
        self._lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            writer = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "unknown"
            raise errors.StoreLockedError(
                f"{self.path}: another process (pid {writer}) is writing it; wait for it or stop it"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)

    def _drop_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _connect(self) -> sqlite3.Connection:
        writable = self.mode != "r"
        if writable and self.path.exists() and not os.access(self.path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.path))
        target = f"{self.path.absolute().as_uri()}?mode={'rwc' if self.mode == 'w' else 'rw' if writable else 'ro'}"
        db = sqlite3.connect(target, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        try:
            application = db.execute("PRAGMA application_id").fetchone()[0]
            version = db.execute("PRAGMA user_version").fetchone()[0]
            empty = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
            if empty and self.mode == "w":
                db.execute("PRAGMA journal_mode=WAL")
                db.executescript(
                    f"BEGIN; PRAGMA application_id={schema.APPLICATION_ID}; PRAGMA user_version={schema.VERSION};"
                    f"{schema.TABLES}{schema.VIEWS} COMMIT;"
                )
            elif application != schema.APPLICATION_ID:
                raise errors.StoreCorruptError(f"{self.path}: this SQLite file is no DEFT store; name another path")
            elif version > schema.VERSION:
                raise errors.StoreVersionError(
                    f"{self.path}: written by a newer version (schema {version}, this one reads {schema.VERSION});"
                    " update deft"
                )
            db.execute("PRAGMA foreign_keys=ON")
            db.execute(f"PRAGMA synchronous={'FULL' if self.durable else 'NORMAL'}")
        except BaseException:
            db.close()
            raise
        return db

    def close(self) -> None:
        """Commits what is open and closes; may be called twice."""
        if self._db is not None:
            if self._db.in_transaction:
                self._db.commit()
            self._db.close()
        self._drop_lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def _guard(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._db
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, sqlite3.IntegrityError):
                raise errors.StoreError(
                    f"{self.path}: the log already holds another event in this place ({error}); "
                    "was the same run continued twice?"
                ) from None
            raise explain(error, self.path) from None

    # --- writing ----------------------------------------------------------------------------------------------------
    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commits everything appended inside as one; on an error nothing of it is kept."""
        with self._guard() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if db.in_transaction:
                    db.rollback()
                raise
            db.commit()

    def add_run(self, run: str, config: Mapping[str, Any], provenance: Mapping[str, Any]) -> None:
        """Records a run with its full configuration and provenance; a second time with the same configuration is fine.

        Raises:
            StoreError: if the run is there with another configuration.
        """
        stored = dict(config)
        row = (
            run,
            *(stored[name] for name in ("task", "agent", "prior", "reward", "rig", "encoder", "seed", "episodes")),
        )
        with self._guard() as db:
            db.execute(
                "INSERT OR IGNORE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, _dump(stored), _dump(provenance)),
            )

    def append(self, event: Event) -> None:
        """Appends one event; outside ``transaction`` it is committed before this returns.

        Raises:
            StoreError: if the place in the log is taken, or the file cannot be written; nothing is changed then.
        """
        with self._guard() as db:
            db.execute(
                f"INSERT INTO events ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(event.run, event.seq, event.kind, event.role, event.policy, event.after, event.split),
                    *(event.k, event.attempt, _dump(event.payload), event.seconds, event.at or time.time()),
                ),
            )

    def merge(self, other: str | Path, runs: Iterable[str] | None = None) -> int:
        """Takes over the runs and events of another store that are not here yet; doing it again changes nothing.

        Args:
            other: the other store.
            runs: ids of the runs to take over; by default all.

        Returns:
            The number of new events.

        Raises:
            MergeConflictError: if both hold different events in one place; nothing is taken over then.
        """
        with Store(other, "r") as shard, self._guard() as db:
            wanted = json.dumps(shard.runs() if runs is None else list(runs))
            only = "s.run IN (SELECT value FROM json_each(?))"
            db.execute("ATTACH DATABASE ? AS shard", (str(shard.path.absolute()),))
            try:
                with self.transaction():
                    differ = " OR ".join(f"m.{c} != s.{c}" for c in _FIELDS[2:10])
                    clash = db.execute(
                        "SELECT s.run, s.seq FROM shard.events s JOIN main.events m ON m.run = s.run AND m.seq = s.seq"
                        f" WHERE {only} AND ({differ}) LIMIT 1",
                        (wanted,),
                    ).fetchone()
                    if clash:
                        raise errors.MergeConflictError(
                            f"{shard.path} and {self.path} hold different events of run {clash[0]} at place {clash[1]};"
                            " they come from different code or machines: keep them apart"
                        )
                    db.execute(f"INSERT OR IGNORE INTO main.runs SELECT * FROM shard.runs s WHERE {only}", (wanted,))
                    new = db.execute(
                        f"INSERT INTO main.events ({_COLUMNS}) SELECT {_COLUMNS} FROM shard.events s WHERE {only}"
                        " AND NOT EXISTS (SELECT 1 FROM main.events m WHERE m.run = s.run AND m.seq = s.seq)",
                        (wanted,),
                    )
                    return int(new.rowcount)
            finally:
                db.execute("DETACH DATABASE shard")

    def snapshot(self) -> bytes:
        """The whole store as one SQLite file, whatever is still in its log."""
        with self._guard() as db:
            return bytes(db.serialize())

    # --- reading ----------------------------------------------------------------------------------------------------
    def runs(self) -> list[str]:
        """The ids of all runs, sorted."""
        with self._guard() as db:
            return [row[0] for row in db.execute("SELECT run FROM runs ORDER BY run")]

    def run(self, run: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Configuration and provenance of a run.

        Raises:
            StoreError: if there is no such run; the message lists what there is.
        """
        with self._guard() as db:
            row = db.execute("SELECT config, provenance FROM runs WHERE run = ?", (run,)).fetchone()
        if row is None:
            raise errors.StoreError(f"{self.path}: no run {run!r}; there are: {', '.join(self.runs()) or 'none'}")
        return json.loads(row[0]), json.loads(row[1])

    def events(self, run: str) -> list[Event]:
        """The log of a run, in order."""
        with self._guard() as db:
            rows = db.execute(f"SELECT {_COLUMNS} FROM events WHERE run = ? ORDER BY seq", (run,)).fetchall()
        return [Event(**{**dict(zip(_FIELDS, row, strict=True)), "payload": json.loads(row[9])}) for row in rows]

    def rows(self, query: str, values: Iterable[Any] = ()) -> list[dict[str, Any]]:
        """Rows of a query over the views ``episodes``, ``evaluation_episodes`` and ``evaluations``, as mappings."""
        with self._guard() as db:
            cursor = db.execute(query, tuple(values))
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), sort_keys=True, allow_nan=False)


def _dump(value: Mapping[str, Any]) -> str:
    return _ENCODER.encode(value)

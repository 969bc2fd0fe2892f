"""The store: an append-only event log per run, in one SQLite file (WAL).

An episode that was executed is durable before anybody scores it. Nothing is ever updated or deleted: a score that came
late or was corrected is one more event, and a run resumes by replaying its events (``deft_experiments.run``).
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from deft_experiments import errors
from deft_experiments.store_file import WriterLock, connect

FILE_NAME: Final = "store.sqlite"
SUFFIX: Final = ".sqlite"
_NAMED: Final = 3
"""Stores named to one who looked in the folder above them: the last ones, as names begin with the time."""
_FIELDS: Final = ("run", "seq", "kind", "role", "policy", "after", "split", "k", "attempt", "payload", "seconds", "at")
_COLUMNS: Final = ", ".join(_FIELDS)


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
        self._lock: WriterLock | None = None
        if mode != "w" and not self.path.is_file():
            inside = sorted(found.parent.name for found in self.path.parent.glob(f"*/{FILE_NAME}"))
            several = f" (and {len(inside) - _NAMED} more)" if len(inside) > _NAMED else ""
            raise errors.StoreMissingError(
                f"{self.path}: there is no store here; "
                + (
                    f"name one of the folders in it: {', '.join(inside[-_NAMED:])}{several}"
                    if inside
                    else "`deft tune` and `deft bench` make one"
                )
            )
        try:
            if mode == "w":
                self.path.parent.mkdir(parents=True, exist_ok=True)
            if mode != "r":
                self._lock = WriterLock(self.path)
            self._db = connect(self.path, mode, durable=durable)
        except (sqlite3.Error, OSError) as error:
            self._drop_lock()
            raise errors.explain(error, self.path) from None
        except BaseException:
            self._drop_lock()
            raise

    def close(self) -> None:
        """Commits what is open and closes; may be called twice."""
        if self._db is not None:
            if self._db.in_transaction:
                self._db.commit()
            self._db.close()
        self._drop_lock()

    def _drop_lock(self) -> None:
        if self._lock is not None:
            self._lock.release()

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
            raise errors.explain(error, self.path) from None

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

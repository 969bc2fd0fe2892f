"""The store: what is committed stays, what is wrong is refused with a clear message."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from deft_experiments import errors
from deft_experiments.store import Event, Store

CONFIG = {
    "task": "PickCup",
    "agent": "cem",
    "prior": "simulated",
    "reward": "oracle",
    "rig": "landscape",
    "encoder": "none",
    "seed": 0,
    "episodes": 3,
}


def event(seq: int, kind: str = "asked", k: int = 0, **payload: Any) -> Event:
    return Event("run", seq, kind, "train", "", 0, "train", k, 0, payload or {"n": seq})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Store(tmp_path, "w", durable=False) as store:
        store.add_run("run", CONFIG, {"command": "test"})
        store.append(event(0))
        store.append(event(1, "executed", status="completed"))
    return tmp_path


def test_what_was_appended_is_there(folder: Path) -> None:
    with Store(folder) as store:
        assert store.runs() == ["run"]
        assert store.run("run") == (CONFIG, {"command": "test"})
        assert [(e.seq, e.kind, dict(e.payload)) for e in store.events("run")] == [
            (0, "asked", {"n": 0}),
            (1, "executed", {"status": "completed"}),
        ]
        with pytest.raises(errors.StoreError, match="no run 'other'; there are: run"):
            store.run("other")


def test_floats_keep_every_bit(folder: Path) -> None:
    numbers = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0]
    with Store(folder, "a", durable=False) as store:
        store.append(event(2, "scored", numbers=numbers))
        assert [x.hex() for x in store.events("run")[2].payload["numbers"]] == [x.hex() for x in numbers]
        with pytest.raises(ValueError, match="not JSON compliant"):
            store.append(event(3, "scored", reward=float("nan")))
        assert len(store.events("run")) == 3


@pytest.mark.parametrize("again", [event(1, "scored", reward=1.0), event(2, "asked"), event(2, "executed")])
def test_a_place_in_the_log_is_taken_once(folder: Path, again: Event) -> None:
    with Store(folder, "a", durable=False) as store:
        with pytest.raises(errors.StoreError, match="already holds another event"):
            store.append(again)
        assert len(store.events("run")) == 2


def test_transaction_is_all_or_nothing(folder: Path) -> None:
    with Store(folder, "a", durable=False) as store:

        def clash() -> None:
            with store.transaction():
                store.append(event(2, "scored", reward=1.0))
                store.append(event(2, "scored", reward=1.0))

        with pytest.raises(errors.StoreError, match="already holds"):
            clash()
        assert len(store.events("run")) == 2
        with store.transaction():
            store.append(event(2, "scored", reward=1.0))
        assert len(store.events("run")) == 3


def test_no_store(tmp_path: Path) -> None:
    for mode in ("r", "a"):
        with pytest.raises(errors.StoreMissingError, match="there is no store here"):
            Store(tmp_path / "nowhere", mode)
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_of_stores_names_them(tmp_path: Path) -> None:
    for name in "abcde":
        Store(tmp_path / name, "w", durable=False).close()
    with pytest.raises(errors.StoreMissingError, match=r"one of the folders in it: c, d, e \(and 2 more\)"):
        Store(tmp_path)


def test_second_writer_is_refused_and_readers_are_not(folder: Path) -> None:
    with Store(folder, "a"):
        with pytest.raises(errors.StoreLockedError, match=f"another process \\(pid {os.getpid()}\\)"):
            Store(folder, "a")
        with Store(folder) as reader:
            assert len(reader.events("run")) == 2
    Store(folder, "a").close()


def test_foreign_lock_is_a_clear_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deft_experiments.store_file.BUSY_TIMEOUT_S", 0.05)
    blocker = sqlite3.connect(folder / "store.sqlite", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with Store(folder, "a", durable=False) as store:
        with pytest.raises(errors.StoreLockedError, match="nothing stored is lost"):
            store.append(event(2, "scored", reward=1.0))
        blocker.rollback()
        blocker.close()
        store.append(event(2, "scored", reward=1.0))
        assert len(store.events("run")) == 3


@pytest.mark.parametrize("content", [b"", b"not a database at all, but long enough to be looked at" * 40])
def test_no_sqlite_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "store.sqlite").write_bytes(content)
    with pytest.raises(errors.StoreCorruptError):
        Store(tmp_path)


def test_foreign_sqlite_file(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "store.sqlite") as db:
        db.execute("CREATE TABLE mine (x)")
    for mode in ("r", "w"):
        with pytest.raises(errors.StoreCorruptError, match="no DEFT store"):
            Store(tmp_path, mode)


def test_damaged_pages(folder: Path) -> None:
    path = folder / "store.sqlite"
    with Store(folder, "a", durable=False) as store:
        for k in range(1, 200):
            store.append(event(1 + k, "asked", k, text="x" * 300))
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(errors.StoreCorruptError, match="damaged"), Store(folder) as store:
        store.events("run")


def test_newer_version(folder: Path) -> None:
    with sqlite3.connect(folder / "store.sqlite") as db:
        db.execute("PRAGMA user_version=99")
    for mode in ("r", "a"):
        with pytest.raises(errors.StoreVersionError, match="newer version \\(schema 99"):
            Store(folder, mode)


def test_full_disk(folder: Path) -> None:
    """SQLite's own page limit stands for the disk: the same error reaches the code in the same place."""
    with Store(folder, "a", durable=False) as store:
        pages = store.rows("PRAGMA page_count")[0]["page_count"]
        store.rows(f"PRAGMA max_page_count={pages}")

        def fill() -> None:
            for seq in range(2, 500):
                store.append(event(seq, "asked", seq, text="x" * 3000))

        with pytest.raises(errors.StoreFullError, match="disk is full"):
            fill()
        kept = store.events("run")
        assert [e.seq for e in kept] == list(range(len(kept)))
        store.rows("PRAGMA max_page_count=1000000")
        store.append(event(len(kept), "asked", 1000))


def test_read_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "store.sqlite"
    path.chmod(0o444)
    if os.access(path, os.W_OK):  # root may write anything; say what another user would be told
        allowed = os.access
        monkeypatch.setattr(os, "access", lambda p, mode: allowed(p, mode) and not (mode & os.W_OK and Path(p) == path))
    with pytest.raises(errors.StoreReadOnlyError, match="cannot be written"):
        Store(folder, "a")
    with Store(folder) as store:
        assert len(store.events("run")) == 2


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), errors.StoreFullError),
        (OSError(errno.EROFS, "Read-only file system"), errors.StoreReadOnlyError),
        (sqlite3.OperationalError("database or disk is full"), errors.StoreFullError),
        (sqlite3.OperationalError("attempt to write a readonly database"), errors.StoreReadOnlyError),
        (sqlite3.DatabaseError("database disk image is malformed"), errors.StoreCorruptError),
        (sqlite3.OperationalError("database is locked"), errors.StoreLockedError),
    ],
)
def test_every_system_error_has_its_own(error: Any, kind: type[errors.StoreError]) -> None:
    assert type(errors.explain(error, Path("store.sqlite"))) is kind


def test_merge_is_idempotent_and_takes_only_what_is_new(folder: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "main", "w", durable=False) as main:
        assert main.merge(folder) == 2
        assert main.merge(folder) == 0
        with Store(folder, "a", durable=False) as shard:
            shard.append(event(2, "scored", reward=0.5))
            shard.add_run("second", {**CONFIG, "seed": 1}, {})
        assert main.merge(folder, runs=["second"]) == 0
        assert main.merge(folder) == 1
        assert main.runs() == ["run", "second"]
        assert len(main.events("run")) == 3


def test_merge_refuses_another_history(folder: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "main", "w", durable=False) as main:
        main.add_run("run", CONFIG, {})
        main.append(event(0, n=99))
        with pytest.raises(errors.MergeConflictError, match="run run at place 0"):
            main.merge(folder)
        assert len(main.events("run")) == 1


def test_a_folder_may_have_a_dot_in_its_name(tmp_path: Path) -> None:
    with Store(tmp_path / "run-0.1", "w", durable=False) as store:
        assert store.path == tmp_path / "run-0.1" / "store.sqlite"
    with Store(tmp_path / "other.sqlite", "w", durable=False) as store:
        assert store.path == tmp_path / "other.sqlite"

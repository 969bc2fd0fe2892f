"""Interrupted anywhere, a run goes on to the same asks, tells and results; nothing is lost or doubled."""

from __future__ import annotations

import importlib.util
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deft_env.episode import Status
from deft_experiments.errors import ReplayError
from deft_experiments.lockstep import Lockstep
from deft_experiments.store import Event, Store

SCRIPT = Path(__file__).with_name("killed_run.py")


def _script() -> Any:
    spec = importlib.util.spec_from_file_location("killed_run", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Event]]:
    with Store(tmp_path_factory.mktemp("whole"), "w", durable=False) as store:
        run = _script().play(store)
        return run.id, store.events(run.id)


def _plain(events: list[Event]) -> list[tuple[Any, ...]]:
    return [(e.seq, e.kind, e.role, e.policy, e.after, e.split, e.k, e.attempt, dict(e.payload)) for e in events]


class CrashError(BaseException):
    """Stands for the power going off: nothing in the code under test may catch it."""


@pytest.mark.parametrize("when", ["before", "after"])
def test_interrupted_at_every_event(
    when: str, uninterrupted: tuple[str, list[Event]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, events = uninterrupted
    append = Store.append
    script = _script()
    for nth in range(1, len(events) + 1):
        seen = [0]

        def deadly(self: Store, event: Event, nth: int = nth, seen: list[int] = seen) -> None:
            seen[0] += 1
            if seen[0] == nth and when == "before":
                raise CrashError
            append(self, event)
            if seen[0] == nth:
                raise CrashError

        folder = tmp_path / f"{nth}"
        monkeypatch.setattr(Store, "append", deadly)
        with Store(folder, "w", durable=False) as store, pytest.raises(CrashError):
            script.play(store)
        monkeypatch.setattr(Store, "append", append)
        with Store(folder, "a", durable=False) as store:
            assert len(store.events(run_id)) == (nth - 1 if when == "before" else nth)
            script.play(store)
            assert _plain(store.events(run_id)) == _plain(events)


def test_killed_at_random_moments(uninterrupted: tuple[str, list[Event]], tmp_path: Path) -> None:
    run_id, events = uninterrupted
    dice = random.Random(7)
    folder = tmp_path / "store"
    kills = 0
    for _ in range(4):
        command = [sys.executable, str(SCRIPT), str(folder), str(dice.randint(1, 25)), dice.choice(["before", "after"])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        kills += 1
    assert kills == 4
    subprocess.run([sys.executable, str(SCRIPT), str(folder), "0", "never"], check=True, timeout=120)
    with Store(folder) as store:
        assert _plain(store.events(run_id)) == _plain(events)


def test_replay_refuses_another_past(config: Any, parts: Any, tmp_path: Path, opener: Any) -> None:
    with Store(tmp_path, "w", durable=False) as store:
        run = opener(config, parts, store)
        Lockstep([run], parts, store).run_to_end()
        events = store.events(run.id)
        settings, where = store.run(run.id)
    other = tmp_path / "other"
    with Store(other, "w", durable=False) as store:
        store.add_run(run.id, settings, where)
        for event in events:
            if event.kind == "asked" and event.k == 5:
                moved = list(np.array(event.payload["residual"]) + 1e-12)
                event = Event(
                    *(event.run, event.seq, event.kind, event.role, event.policy, event.after, event.split, event.k),
                    *(event.attempt, {**event.payload, "residual": moved}),
                )
            store.append(event)
        with pytest.raises(ReplayError, match="asks another residual for episode 5"):
            opener(config, parts, store)


def test_replay_refuses_a_gap(config: Any, parts: Any, store: Store, tmp_path: Path, opener: Any) -> None:
    run = opener(config, parts, store)
    Lockstep([run], parts, store).run_to_end()
    with Store(tmp_path / "gap", "w", durable=False) as gap:
        gap.add_run(run.id, *store.run(run.id))
        for event in store.events(run.id):
            if event.seq != 9:
                gap.append(event)
        with pytest.raises(ReplayError, match="event 9 is missing"):
            opener(config, parts, gap)


def test_snapshot_agent_is_the_agent_of_that_time(config: Any, parts: Any, store: Store, opener: Any) -> None:
    run = opener(config, parts, store)
    states = {}

    def remember(r: Any) -> None:
        states[sum(e.told is not None for e in r.episodes)] = r.agent.state_dict()

    Lockstep([run], parts, store, before_ask=remember).run_to_end()
    for told in (0, 1, 10, config.episodes):
        assert run.agent_after(told).state_dict() == states.get(told, run.agent.state_dict())
    with pytest.raises(ValueError, match="fewer than 99"):
        run.agent_after(99)
    assert all(Status(e.executed["status"]).counts for e in run.episodes)

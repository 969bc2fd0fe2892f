"""Small runs on the landscape, shared by the tests of the experiments."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deft_experiments.config import RunConfig
from deft_experiments.parts import Parts, make_parts
from deft_experiments.run import Run
from deft_experiments.store import Store

EPISODES = 14


@pytest.fixture
def config() -> RunConfig:
    return RunConfig("PickCup", agent="cem", rig="landscape", episodes=EPISODES)


@pytest.fixture
def parts(config: RunConfig) -> Iterator[Parts]:
    with make_parts(config) as made:
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store", "w", durable=False) as opened:
        yield opened


def open_run(config: RunConfig, parts: Parts, store: Store) -> Run:
    return Run(config, functools.partial(parts.agent, config), store)


def log(store: Store, run: str) -> list[tuple[Any, ...]]:
    """The log without wall-clock fields."""
    return [
        (e.seq, e.kind, e.role, e.policy, e.after, e.split, e.k, e.attempt, dict(e.payload)) for e in store.events(run)
    ]


@pytest.fixture
def opener() -> Any:
    return open_run


@pytest.fixture
def read_log() -> Any:
    return log

"""The contract suites over everything that is registered, and every pair of values in one environment."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

from deft_env import registries, testing
from deft_env.env import GraspEnv
from deft_env.registry import Registry
from deft_env.rigs.rig import Rig

RIGS = ("landscape", "simulated")


def _present(registry: Registry, name: str) -> bool:
    """Whether a part's module is here; parts with weights or hardware have tests of their own."""
    target = registry.entry(name).target
    return not isinstance(target, str) or find_spec(target.partition(":")[0]) is not None


@cache
def _can_render() -> bool:
    """Whether the simulated rig can draw on this machine."""
    from deft_env.sim.render import RenderingUnavailableError

    try:
        registries.make_rig("simulated").reset_batch(testing.keys_of("PickCup", 1))[0]
    except RenderingUnavailableError:
        return False
    return True


def _without_weights(registry: Registry) -> list[str]:
    return [n for n in registry.names() if _present(registry, n) and not registries.takes_weights(registry, n)]


TASKS = [name for name in registries.TASK_WORDS if _present(registries.tasks, name)]


@pytest.mark.parametrize("name", RIGS)
def test_rigs(name: str) -> None:
    testing.check_rig(lambda: registries.make_rig(name), pictures=name == "landscape" or _can_render())


@pytest.mark.parametrize("name", registries.TASK_WORDS)
def test_tasks(name: str) -> None:
    if name not in TASKS:
        pytest.skip(f"the task {name} is not built yet")
    task = registries.make_task(name)
    testing.check_task(task)
    assert task.name == name
    assert task.instruction == registries.TASK_WORDS[name].instruction
    assert registries.make_task(name, registries.make_rig("landscape")).instruction == task.instruction


@pytest.mark.parametrize("name", _without_weights(registries.priors))
def test_priors(name: str) -> None:
    testing.check_prior(registries.make_prior(name), lambda: registries.make_rig("landscape"), task="PickSpoon")


@pytest.mark.parametrize("name", [n for n in _without_weights(registries.rewards) if n != "human"])
def test_rewards(name: str) -> None:
    testing.check_reward(registries.make_reward(name), lambda: registries.make_rig("landscape"), task="OpenDrawer")


@pytest.mark.parametrize("name", _without_weights(registries.encoders))
def test_encoders(name: str) -> None:
    testing.check_encoder(registries.make_encoder(name))


VALUES: dict[str, tuple[Any, ...]] = {
    "task": tuple(TASKS),
    "rig": RIGS,
    "prior": ("simulated", "heuristic", "heuristic-run", "heuristic-palm-down"),
    "reward": ("oracle", "success"),
    "split": ("train", "test"),
    "images": (False, True),
}


def _cover(values: dict[str, tuple[Any, ...]]) -> list[dict[str, Any]]:
    """A small set of rows in which every pair of values of two columns stands together (greedy)."""
    names = list(values)
    rows = [dict(zip(names, row, strict=True)) for row in product(*values.values())]

    def pairs(row: dict[str, Any]) -> set[tuple[str, Any, str, Any]]:
        return {(a, row[a], b, row[b]) for a, b in combinations(names, 2)}

    missing = set().union(*(pairs(row) for row in rows))
    chosen = []
    while missing:
        best = max(rows, key=lambda row: len(pairs(row) & missing))
        chosen.append(best)
        missing -= pairs(best)
    return chosen


COVER = _cover(VALUES)


@cache
def _rig(name: str) -> Rig:
    """One rig for all rows: compiled models are kept."""
    return registries.make_rig(name)


def test_the_cover_covers() -> None:
    for a, b in combinations(VALUES, 2):
        together = {(row[a], row[b]) for row in COVER}
        assert together == set(product(VALUES[a], VALUES[b]))


@pytest.mark.parametrize("row", COVER, ids=lambda row: "-".join(str(value) for value in row.values()))
def test_every_pair_of_values_plays(row: dict[str, Any]) -> None:
    looks = row["images"] or row["prior"].startswith("heuristic")
    if row["rig"] == "simulated" and looks and not _can_render():
        pytest.skip("this machine cannot render")
    env = GraspEnv(**{**row, "rig": _rig(row["rig"])})
    seen, info = env.reset(seed=0)
    assert seen in env.observation_space
    last, reward, terminated, truncated, ended = env.step(np.zeros(22))
    assert last in env.observation_space
    assert terminated
    assert not truncated
    assert 0.0 <= reward <= 1.0
    assert ended["key"] == info["key"] == f"{row['task']}/{row['split']}/train/0/0"
    assert ("rig landscape" in ended["stand_ins"]) == (row["rig"] == "landscape")
    if ended["status"] == "completed":
        assert reward == (float(ended["success"]) if row["reward"] == "success" else ended["score"])
    else:
        assert reward == 0.0

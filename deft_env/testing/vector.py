"""The vector environment is the single one, many times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from deft_env import grasp
from deft_env.testing.promises import expect


def check_vector_identity(
    make_single: Callable[[], Any],
    make_vector: Callable[[int], Any],
    num_envs: int,
    *,
    seed: int = 0,
    episodes: int = 3,
) -> None:
    """Sub-environment i at episode k is ``GraspEnv`` of seed s + i at k, bit for bit: observations, rewards, infos.

    Args:
        make_single: makes the single environment.
        make_vector: makes the vector environment of as many sub-environments.
        num_envs: how many.
        seed: s.
        episodes: how many of each.
    """
    generator = np.random.default_rng(seed)
    actions = generator.uniform(grasp.RESIDUAL_LOW, grasp.RESIDUAL_HIGH, (episodes, num_envs, grasp.DIM))
    vector = make_vector(num_envs)
    seen, info = vector.reset(seed=seed)
    rows: list[list[Any]] = [[] for _ in range(num_envs)]
    for k in range(episodes):
        shown, shown_info = seen, info
        seen, rewards, terminated, truncated, info = vector.step(actions[k])
        expect(bool(np.all(terminated)) and not np.any(truncated), "every step is the end of every episode")
        for i in range(num_envs):
            rows[i].append((shown, shown_info["key"][i], rewards[i], info["final_obs"][i], info["final_info"]))
    vector.close()
    single = make_single()
    for i in range(num_envs):
        observed, start = single.reset(seed=seed + i)
        for k in range(episodes):
            shown, key, reward, final, ended = rows[i][k]
            where = f"sub-environment {i}, episode {k}"
            expect(start["key"] == key, f"{where}: key {key}, alone {start['key']}")
            for name, value in observed.items():
                expect(np.array_equal(value, shown[name][i]), f"{where}: the first observation's {name} is the same")
            last, alone, _, _, facts = single.step(actions[k, i])
            expect(alone == reward, f"{where}: reward {reward}, alone {alone}")
            for name, value in last.items():
                expect(np.array_equal(value, final[name]), f"{where}: the last observation's {name} is the same")
            for name in ("success", "score", "status", "reason", "object", "key"):
                expect(ended[name][i] == facts[name], f"{where}: {name} {ended[name][i]}, alone {facts[name]}")
            expect(np.array_equal(ended["executed_grasp"][i], facts["executed_grasp"]), f"{where}: executed_grasp")
            for goal, reached in facts["subgoals"].items():
                expect(ended["subgoals"][goal][i] == reached, f"{where}: sub-goal {goal!r}")
            observed, start = single.reset()
    single.close()

"""The policies that an agent freezes: snapshots that never change, row by row, in memory and in files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from deft_agents.agent import Policy
from deft_agents.policies.base import load_policy, save_policy
from deft_agents.testing.scenario import Array, MakeAgent, act, context, residuals, run
from deft_env import grasp
from deft_env.episode import Trial, generator


def check_freeze(make: MakeAgent, episodes: int = 24) -> None:
    """A frozen policy never changes, and freezing (at any time, repeatedly) disturbs nothing."""
    agent, unfrozen = make(seed=0, budget=episodes), make(seed=0, budget=episodes)
    snapshots: list[tuple[Policy, Array]] = []
    asked: list[Trial] = []
    for start, stop in ((0, 0), (0, 1), (1, episodes // 2), (episodes // 2, episodes)):
        asked += run(agent, start, stop)
        policy = agent.freeze()
        done = act(policy)
        assert np.array_equal(done, act(agent.freeze())), "freezing twice gave two policies"
        done[:] = np.nan  # what a caller does to the result must not reach the policy
        snapshots.append((policy, act(policy)))
    assert np.array_equal(residuals(asked), residuals(run(unfrozen, 0, episodes))), "freezing changed what is asked"
    assert np.array_equal(snapshots[-1][1], act(unfrozen.freeze())), "an earlier freeze is still in the later one"
    for policy, done in snapshots:
        assert np.array_equal(act(policy), done), "a frozen policy changed afterwards"
        assert done.shape == (4, grasp.DIM)
        assert np.isfinite(done).all()


def check_policy_batches(make: MakeAgent, episodes: int = 16) -> None:
    """Row i of a policy depends on context i and generator i alone: the same bits for any batch size."""
    agent = make(seed=0, budget=episodes)
    run(agent, 0, episodes)
    policy = agent.freeze()
    whole = act(policy, 17)
    rows = [policy([context(k)], [generator("act", k)])[0] for k in range(17)]
    assert np.array_equal(whole, np.array(rows)), "a policy's row depends on the rest of its batch"
    backwards = policy([context(k) for k in range(17)][::-1], [generator("act", k) for k in range(17)][::-1])
    assert np.array_equal(whole, backwards[::-1])
    assert policy([], []).shape == (0, grasp.DIM), "an empty batch must give an empty (0, 22) array"


def check_policy_file(make: MakeAgent, episodes: int = 16) -> None:
    """A saved policy does what it did, bit for bit, under its name."""
    agent = make(seed=0, budget=episodes)
    run(agent, 0, episodes)
    policy = agent.freeze()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "policy.safetensors"
        save_policy(policy, path)
        again = load_policy(path)
    assert again.name == policy.name
    assert np.array_equal(act(again), act(policy)), "a policy does something else after save and load"

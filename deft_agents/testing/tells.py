"""What an agent is told: in any order, failed, foreign, and what cannot be right."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from deft_agents.testing.scenario import MakeAgent, act, context, refused, residuals, reward, run
from deft_env import grasp
from deft_env.episode import Status, Trial, generator, jsonable


def check_out_of_order(make: MakeAgent, episodes: int = 30) -> None:
    """Asks may outrun tells, tells come in any order, some never: nothing breaks, and it is reproducible."""
    outcomes = []
    for _ in range(2):
        agent, order = make(seed=6, budget=episodes), generator("order")
        asked: list[Trial] = []
        for start in range(0, episodes, 6):
            batch = [agent.ask(context(start + i)) for i in range(6)]
            asked += batch
            for i in order.permutation(6)[:5]:  # one of six is voided and never told
                agent.tell(batch[i], reward(batch[i]))
        outcomes.append((residuals(asked), act(agent.freeze())))
    assert np.isfinite(outcomes[0][0]).all()
    assert len(np.unique(outcomes[0][0], axis=0)) > episodes // 3, "asks that outrun tells repeat the same residual"
    assert all(np.array_equal(a, b) for a, b in zip(*outcomes, strict=True))


def check_failed_trials(make: MakeAgent, episodes: int = 20) -> None:
    """Failed trials are told with the lowest reward and do not break anything, not even if all fail."""
    for every in (1, 3):
        agent = make(seed=0, budget=episodes)
        for k in range(episodes):
            trial = agent.ask(context(k))
            failed = k % every == 0
            agent.tell(trial, agent.reward_range[0] if failed else reward(trial), _status(failed))
        assert np.isfinite(act(agent.freeze())).all()
        assert np.isfinite(agent.ask(context(episodes)).residual).all()


def check_foreign_trials(make: MakeAgent, episodes: int = 20) -> None:
    """Foreign trials are learned from, or (declared) by the policy only; they survive a state either way."""
    agent, plain = make(seed=0, budget=episodes), make(seed=0, budget=episodes)
    foreign = [Trial(-1 - i, grasp.SIGMA * (0.8 + 0.02 * i), context(100 + i)) for i in range(12)]
    for trial in foreign:
        agent.tell(trial, reward(trial))
    asked, without = run(agent, 0, episodes), run(plain, 0, episodes)
    if not agent.learns_from_foreign:
        assert np.array_equal(residuals(asked), residuals(without)), "learns_from_foreign is False, but it does"
    with refused("a foreign trial told twice"):
        agent.tell(foreign[0], 0.5)
    other = make(seed=0, budget=episodes)
    other.load_state_dict(json.loads(json.dumps(jsonable(agent.state_dict()))))
    assert np.array_equal(other.ask(context(episodes)).residual, agent.ask(context(episodes)).residual)
    assert np.array_equal(act(other.freeze()), act(agent.freeze()))


def check_bad_tells(make: MakeAgent, episodes: int = 16) -> None:
    """What cannot be right is refused, and a refusal changes nothing."""
    agent, clean = make(seed=0, budget=episodes), make(seed=0, budget=episodes)
    low, high = agent.reward_range
    for k in range(episodes):
        trial, expected = agent.ask(context(k)), clean.ask(context(k))
        assert np.array_equal(trial.residual, expected.residual), "a refused tell changed what is asked"
        bad: list[Any] = [float("nan"), float("inf"), -float("inf"), None, "good", [0.1, 0.2]]
        bad += [v for v in (low - 0.1, high + 0.1) if np.isfinite(v)]
        for value in bad:
            with refused(f"the reward {value!r}"):
                agent.tell(trial, value)
        for status in (Status.FAULTED, Status.VOIDED, "finished"):
            with refused(f"the status {status!r}"):
                agent.tell(trial, low, status)  # type: ignore[arg-type]
        with refused("an id that was never asked"):
            agent.tell(Trial(k + 1, trial.residual, trial.context), 0.5)
        with refused("another residual under an asked id"):
            agent.tell(Trial(k, 0.5 * trial.residual + 1e-3, trial.context), 0.5)
        agent.tell(trial, reward(trial))
        clean.tell(expected, reward(expected))
        with refused("a trial told twice"):
            agent.tell(trial, reward(trial))


def check_fuzz(make: MakeAgent, episodes: int = 40) -> None:
    """Random asks, tells, repeats, foreign trials and nonsense: only ValueError, and an exact state at the end."""
    rng = generator("fuzz")
    agent = make(seed=9, budget=episodes)
    pending: list[Trial] = []
    told: list[Trial] = []
    for k in range(episodes):
        what = int(rng.integers(6))
        if what <= 2 or not pending:
            pending.append(agent.ask(context(k)))
        elif what == 3 and told:
            with refused("a repeated trial"):
                agent.tell(told[int(rng.integers(len(told)))], 0.5)
        elif what == 4:
            foreign = Trial(-k - 1, grasp.SIGMA * rng.normal(0, 3, grasp.DIM), context(k))
            agent.tell(foreign, float(rng.choice([0.0, 0.5, 1.0])))
            told.append(foreign)
        else:
            trial = pending.pop(int(rng.integers(len(pending))))
            with refused("nonsense"):
                agent.tell(trial, float(rng.choice([np.nan, 1e9, -1e9, np.inf])))
            agent.tell(trial, float(np.float32(rng.choice([0.0, 0.25, 1.0]))), _status(bool(rng.integers(2))))
            told.append(trial)
    other = make(seed=9, budget=episodes)
    other.load_state_dict(json.loads(json.dumps(jsonable(agent.state_dict()))))
    assert np.array_equal(agent.ask(context(0)).residual, other.ask(context(0)).residual)
    assert np.array_equal(act(agent.freeze()), act(other.freeze()))


def _status(failed: bool) -> Status:
    return Status.FAILED if failed else Status.COMPLETED

"""An agent's state: exact in mid-run, refused where it does not belong, and the same as a replay of its log."""

from __future__ import annotations

import json

import numpy as np

from deft_agents.testing.scenario import MakeAgent, act, context, refused, residuals, reward, run
from deft_env.episode import Trial, jsonable


def check_state_mid_run(make: MakeAgent, episodes: int = 30) -> None:
    """State in mid-run (with a trial pending), through JSON, into a fresh agent: it goes on as if nothing happened."""
    whole = make(seed=1, budget=episodes)
    half = episodes // 2 + 3
    run(whole, 0, half)
    pending = whole.ask(context(half))
    state = json.loads(json.dumps(jsonable(whole.state_dict())))
    other = make(seed=1, budget=episodes)
    other.load_state_dict(state)
    whole.tell(pending, reward(pending))
    other.tell(pending, reward(pending))
    left, right = run(whole, half + 1, episodes), run(other, half + 1, episodes)
    assert np.array_equal(residuals(left), residuals(right)), "after load_state_dict other residuals are asked"
    assert np.array_equal(act(whole.freeze()), act(other.freeze())), "after load_state_dict the policy is another one"


def check_state_refused(make: MakeAgent, episodes: int = 6) -> None:
    """States of other agents, of other formats, and into used agents are refused."""
    agent = make(seed=1, budget=episodes)
    run(agent, 0, 3)
    state = agent.state_dict()
    with refused("the state of another seed"):
        make(seed=2, budget=episodes).load_state_dict(state)
    with refused("a state without a format"):
        make(seed=1, budget=episodes).load_state_dict({})
    with refused("a state into a used agent"):
        agent.load_state_dict(state)


def check_replay(make: MakeAgent, episodes: int = 30) -> None:
    """Replaying recorded events (trials rebuilt from a store) asks the same and freezes the same."""
    agent = make(seed=2, budget=episodes)
    trials = run(agent, 0, episodes)
    again = make(seed=2, budget=episodes)
    for k, trial in enumerate(trials):
        assert np.array_equal(again.ask(context(k)).residual, trial.residual)
        again.tell(Trial(trial.id, np.array(trial.residual.tolist()), context(k)), reward(trial))
    assert np.array_equal(act(agent.freeze()), act(again.freeze()))

"""gp-anchored: the untouched prior first, then gp; a prior that is right is kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deft_agents import make_agent
from deft_agents.testing import context
from deft_env import grasp
from deft_env.episode import generator


def asked(name: str, reward: float, episodes: int, **options: Any) -> np.ndarray:
    """Residuals (episodes, 22) that are asked where every reward is the same."""
    agent = make_agent(name, seed=3, budget=episodes, **options)
    out = []
    for k in range(episodes):
        trial = agent.ask(context(k))
        out.append(trial.residual)
        agent.tell(trial, reward)
    return np.array(out)


def kept(best_at: float, seed: int) -> float:
    """Height (in sigma) of the residual that is kept after 30 episodes whose reward falls from ``best_at``."""
    agent = make_agent("gp-anchored+argmax", seed=seed, budget=30)
    for k in range(30):
        trial = agent.ask(context(k))
        agent.tell(trial, float(np.exp(-0.5 * ((trial.residual[2] / grasp.SIGMA[2] - best_at) / 0.5) ** 2)))
    return float(agent.freeze()([context(0)], [generator("x")])[0, 2] / grasp.SIGMA[2])


@pytest.mark.parametrize("anchors", [0, 2, 3])
def test_the_prior_itself_is_tried_first(anchors: int) -> None:
    zero = ~asked("gp-anchored+argmax", 0.5, 4, anchors=anchors).any(axis=1)
    assert zero.tolist() == [k < anchors for k in range(4)]


def test_after_the_anchors_it_draws_what_gp_draws() -> None:
    mine, plain = asked("gp-anchored", 0.0, 5), asked("gp", 0.0, 5)
    assert (mine == plain).all(axis=1).tolist() == [False] * 3 + [True] * 2


def test_a_prior_that_is_right_is_kept_and_one_that_is_wrong_is_left() -> None:
    for seed in range(3):
        assert abs(kept(0.0, seed)) < 0.35
        assert abs(kept(1.2, seed) - 1.2) < 0.6


def test_a_negative_number_of_anchors_is_refused() -> None:
    with pytest.raises(ValueError, match="anchors"):
        make_agent("gp-anchored", seed=0, budget=5, anchors=-1)

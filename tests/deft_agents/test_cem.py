"""CEM against an independent, slow reading of Algorithm 1."""

from __future__ import annotations

import numpy as np
import pytest

from deft_agents import make_agent
from deft_env import grasp, paper
from deft_env.episode import Context, agent_generator

CONTEXT = Context(np.zeros(grasp.DIM))


def algorithm_1(seed: int, reward, episodes: int = paper.EPISODES) -> list[np.ndarray]:
    """The paper's loop, line by line, with lists and sorting (ties: newest first; ddof 0; floor 0.1)."""
    rng = agent_generator(seed, "search")
    mean, sigma = np.zeros(22), np.ones(22)
    done: list[tuple[float, int, np.ndarray]] = []
    asked = []
    for k in range(1, episodes + 1):
        z = np.clip(mean + sigma * rng.standard_normal(22), -4, 4)
        asked.append(z)
        done.append((reward(z, k), k, z))
        if k > 10:
            omega = [z for _, _, z in sorted(done, key=lambda e: (e[0], e[1]), reverse=True)[:10]]
            mean = np.array([np.mean([z[d] for z in omega]) for d in range(22)])
            sigma = np.array([max(np.std([z[d] for z in omega]), 0.1) for d in range(22)])
    return [*asked, mean]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("levels", [0, 2, 10_000])
def test_cem_is_algorithm_1(seed, levels):
    def reward(z, k):
        value = float(np.exp(-0.02 * np.sum((z - 0.7) ** 2)))
        return round(value * levels) / levels if levels else 0.5

    expected = algorithm_1(seed, reward)
    agent = make_agent("cem", seed=seed, budget=paper.EPISODES)
    for k, z in enumerate(expected[:-1], start=1):
        trial = agent.ask(CONTEXT)
        np.testing.assert_allclose(trial.residual / grasp.SIGMA, z, rtol=0, atol=1e-12)
        agent.tell(trial, reward(z, k))
    np.testing.assert_allclose(agent.search.recommend(), expected[-1], atol=1e-12)


def test_first_ten_asks_ignore_rewards_and_the_twelfth_does_not():
    asks = []
    for best in (0, 1):
        agent = make_agent("cem", seed=0, budget=30)
        points = []
        for k in range(12):
            trial = agent.ask(CONTEXT)
            points.append(trial.residual)
            agent.tell(trial, 0.05 * k if best else 1.0 - 0.05 * k)
        asks.append(points)
    assert all(np.array_equal(a, b) for a, b in zip(asks[0][:11], asks[1][:11], strict=True))
    assert not np.array_equal(asks[0][11], asks[1][11])


def test_sigma_never_falls_below_the_floor():
    agent = make_agent("cem", seed=0, budget=30, elites=1, floor=0.25)
    for _ in range(30):
        agent.tell(agent.ask(CONTEXT), 0.5)
    draws = np.array([agent.search.ask(CONTEXT) for _ in range(4000)])
    np.testing.assert_allclose(draws.std(axis=0), 0.25, rtol=0.06)


@pytest.mark.parametrize("option", [{"elites": 0}, {"warmup": -1}, {"floor": float("nan")}, {"elites": 2.5}])
def test_options_are_checked(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        make_agent("cem", seed=0, budget=30, **option)

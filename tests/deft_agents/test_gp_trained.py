"""The scatter of the prior, undone scene by scene."""

from __future__ import annotations

import numpy as np

from deft_agents import make_agent
from deft_agents.policies.argmax_trained import SteadyPolicy
from deft_agents.search.base import Told
from deft_agents.search.gp_trained import TRAINED, gated, steadying
from deft_env import grasp
from deft_env.episode import Context, generator

MIDDLE = np.array([0.45, 0.0, 0.1] + [0.3] * 19)
SPREAD = np.array([2.0, 2.0, 0.5, 0.5, 0.5, 1.5] + [0.5] * 16)
"""Of the prior's grasps in units of sigma: x, y and yaw follow the scene, the others are its own noise."""
NOISE_DIMS = [2, 3, 4]
BEST = np.array([1.0, -1.0, 0.8])


def scene(k: int) -> Context:
    return Context(MIDDLE + grasp.SIGMA * SPREAD * generator("scatter", k).standard_normal(22))


def told_of(rewards, z) -> Told:
    told = Told(len(z))
    for i, (reward, point) in enumerate(zip(rewards, z, strict=True)):
        told.add(i, point, float(reward))
    return told


def by_grasp(residual: np.ndarray, context: Context) -> float:
    """A reward of where the hand went, relative to the table: height, roll, pitch."""
    went = (residual + context.prior - MIDDLE)[NOISE_DIMS] / grasp.SIGMA[NOISE_DIMS]
    return float(np.exp(-0.5 * np.sum((went - BEST) ** 2)))


def by_residual(residual: np.ndarray, context: Context) -> float:
    return float(np.exp(-0.5 * np.sum((residual[NOISE_DIMS] / grasp.SIGMA[NOISE_DIMS] - BEST) ** 2)))


def test_the_share_is_that_of_the_noise_in_the_spread():
    priors = np.array([scene(k).prior for k in range(4000)])
    steady = steadying(priors, 0.5)
    np.testing.assert_allclose(steady.centre, MIDDLE / grasp.SIGMA, atol=0.15)
    np.testing.assert_allclose(steady.share, 0.25 / SPREAD**2, rtol=0.12)
    assert steady.share.max() <= 1.0
    one = steadying(priors[:1], 0.5)
    assert np.array_equal(one.share, np.ones(22))
    assert np.array_equal(one.shift(priors[:1]), np.zeros((1, 22)))


def success(name: str, reward, seeds: int = 6, episodes: int = 20) -> float:
    total = 0.0
    for seed in range(seeds):
        agent = make_agent(name, seed=seed, budget=episodes)
        for k in range(episodes):
            trial = agent.ask(scene(1000 * seed + k))
            agent.tell(trial, reward(trial.residual, trial.context))
        fresh = [scene(10**6 + k) for k in range(50)]
        done = agent.freeze()(fresh, [generator("x", k) for k in range(50)])
        total += float(np.mean([reward(d, c) for d, c in zip(done, fresh, strict=True)])) / seeds
    return total


def test_noise_of_the_prior_is_undone_where_the_grasp_counts():
    assert success("gp-trained+argmax-trained", by_grasp) > success("gp+argmax", by_grasp) + 0.1


def test_the_gate_keeps_residuals_where_they_are_what_counts():
    rng = generator("gate")
    contexts = [scene(k) for k in range(80)]
    priors = np.array([c.prior for c in contexts])
    z = rng.standard_normal((80, 22))
    for reward, closed in ((by_grasp, False), (by_residual, True)):
        told = told_of([reward(p * grasp.SIGMA, c) for p, c in zip(z, contexts, strict=True)], z)
        model, points, steady = gated(told, priors, TRAINED, 0.5, 2.0)
        assert np.array_equal(steady.share, np.zeros(22)) == closed
        np.testing.assert_allclose(points.z[:80] - steady.shift(priors), z, atol=1e-12)
        assert np.array_equal(model.z, points.z[:80])


def test_the_policy_follows_the_scene_and_stays_in_its_limit():
    contexts = [scene(k) for k in range(30)]
    steady = steadying(np.array([c.prior for c in contexts]), 0.5)
    policy = SteadyPolicy("argmax-trained", np.full(22, 0.5), steady)
    done = policy(contexts, [generator("x", k) for k in range(30)])
    went = (done + np.array([c.prior for c in contexts])) / grasp.SIGMA
    spread = np.array([c.prior for c in contexts]).std(axis=0) / grasp.SIGMA
    np.testing.assert_allclose(went.std(axis=0), (1 - steady.share) * spread, atol=1e-12)
    far = Context(MIDDLE + 50 * grasp.SIGMA)
    assert np.abs(policy([far], [generator("x")]) / grasp.SIGMA).max() <= 4.0 + 1e-12


def test_the_search_asks_for_the_same_grasp_in_every_scene():
    """In steadied coordinates: the residual differs between scenes by what is undone, and by nothing else."""

    def asked(last: Context) -> np.ndarray:
        agent = make_agent("gp-trained", seed=0, budget=20)
        for k in range(14):
            trial = agent.ask(scene(k))
            agent.tell(trial, by_grasp(trial.residual, trial.context))
        return agent.ask(last).residual / grasp.SIGMA

    steady = steadying(np.array([scene(k).prior for k in range(14)]), 0.5)
    one, two = scene(100), scene(101)
    difference = asked(one) - asked(two)
    np.testing.assert_allclose(difference, steady.shift(two.prior) - steady.shift(one.prior), atol=1e-9)
    assert np.abs(difference).max() > 0.3

"""The scatter of the prior, undone; and what earlier tasks have in common."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deft_agents import make_agent
from deft_agents.policies.argmax_context import SteadyPolicy
from deft_agents.search.base import Told
from deft_agents.search.gp_context import TRAINED, gated, steadying
from deft_agents.search.gp_model import GPConfig, GroupedGP, trend_features
from deft_agents.search.gp_transfer import FEATURES, Source, learn_trend, with_trend
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
    assert success("gp-context+argmax-context", by_grasp) > success("gp+argmax", by_grasp) + 0.1


def test_the_gate_keeps_residuals_where_they_are_what_counts():
    rng = generator("gate")
    contexts = [scene(k) for k in range(40)]
    priors = np.array([c.prior for c in contexts])
    z = rng.standard_normal((40, 22))
    for reward, closed in ((by_grasp, False), (by_residual, True)):
        told = told_of([reward(p * grasp.SIGMA, c) for p, c in zip(z, contexts, strict=True)], z)
        model, points, steady = gated(told, priors, (GPConfig(),), 0.5, 2.0)
        assert np.array_equal(steady.share, np.zeros(22)) == closed
        np.testing.assert_allclose(points.z[:40] - steady.shift(priors), z, atol=1e-12)
        assert np.array_equal(model.z, points.z[:40])


def test_the_policy_follows_the_scene_and_stays_in_its_limit():
    contexts = [scene(k) for k in range(30)]
    steady = steadying(np.array([c.prior for c in contexts]), 0.5)
    policy = SteadyPolicy("argmax-context", np.full(22, 0.5), steady)
    done = policy(contexts, [generator("x", k) for k in range(30)])
    went = (done + np.array([c.prior for c in contexts])) / grasp.SIGMA
    spread = np.array([c.prior for c in contexts]).std(axis=0) / grasp.SIGMA
    np.testing.assert_allclose(went.std(axis=0), (1 - steady.share) * spread, atol=1e-12)
    far = Context(MIDDLE + 50 * grasp.SIGMA)
    assert np.abs(policy([far], [generator("x")]) / grasp.SIGMA).max() <= 4.0 + 1e-12


def test_gradient_with_a_trend():
    rng = generator("trend")
    config = replace(TRAINED, trend=tuple(rng.standard_normal(FEATURES)))
    model = GroupedGP(rng.standard_normal((9, 22)), rng.random(9), config)
    points = rng.standard_normal((3, 22))
    _, gradient = model.upper(points, 1.5)
    for d in (0, 4, 21):
        step = np.zeros(22)
        step[d] = 1e-5
        numeric = (model.upper(points + step, 1.5)[0] - model.upper(points - step, 1.5)[0]) / 2e-5
        np.testing.assert_allclose(gradient[:, d], numeric, rtol=1e-4, atol=1e-6)


def sources(slope: float) -> list[Source]:
    """Tasks that share a liking for grasps lower (or higher) than the prior's, and nothing else."""
    out = []
    for task in range(6):
        rng = generator("source", task)
        z, priors = rng.standard_normal((300, 22)), np.tile(MIDDLE, (300, 1))
        own = z[:, :6] @ rng.standard_normal(6)
        rewards = 1 / (1 + np.exp(-(slope * z[:, 2] + 0.5 * own + 0.3 * rng.standard_normal(300))))
        out.append(Source(z, priors, rewards))
    return out


def test_a_trend_is_what_tasks_share():
    trend = np.array(learn_trend(sources(-3.0)))
    assert trend[2] < -0.5
    assert np.abs(np.delete(trend, 2)).max() < 0.2
    assert len(trend) == FEATURES == trend_features(np.zeros(22)).size
    np.testing.assert_allclose(learn_trend(sources(3.0))[2], -trend[2], atol=0.1)


@pytest.mark.parametrize("kind", ["helpful", "misleading"])
def test_a_misleading_trend_is_left_alone(kind):
    """Gated by the task's own rewards: with a trend that speaks against them the model is that of ``gp-trained``."""
    trend = learn_trend(sources(-3.0 if kind == "helpful" else 3.0))
    rng = generator("target")
    z = 0.6 * rng.standard_normal((12, 22))
    told = told_of(1 / (1 + np.exp(3 * z[:, 2])), z)
    model, _, _ = gated(told, np.tile(MIDDLE, (12, 1)), with_trend(trend), 0.5, 2.0)
    assert bool(model.config.trend) == (kind == "helpful")


def test_without_a_trend_it_is_gp_trained():
    def asked(name):
        agent = make_agent(name, seed=1, budget=12)
        trials = []
        for k in range(12):
            trials.append(agent.ask(scene(k)))
            agent.tell(trials[-1], by_grasp(trials[-1].residual, trials[-1].context))
        return np.array([t.residual for t in trials])

    assert np.array_equal(asked("gp-transfer"), asked("gp-trained"))


@pytest.mark.parametrize("trend", [[1.0, 2.0], [np.nan] * FEATURES])
def test_a_trend_of_another_shape_is_refused(trend):
    with pytest.raises(ValueError, match="trend: expected"):
        make_agent("gp-transfer+argmax-transfer", seed=0, budget=5, trend=trend)
    with pytest.raises(ValueError, match="sources"):
        learn_trend([])
    with pytest.raises(ValueError, match="all the same"):
        learn_trend([Source(np.ones((3, 22)), np.ones((3, 22)), np.ones(3))])

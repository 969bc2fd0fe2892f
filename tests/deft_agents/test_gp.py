"""The Gaussian process: against textbook formulas, its gradient, its limits, its bits."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from deft_agents import make_agent
from deft_agents.search.gp_model import GPConfig, GroupedGP, climb, into_region
from deft_agents.testing import context
from deft_env import grasp
from deft_env.episode import generator

ONE = GPConfig(mu=(1.5,), wrist=(3.0,), fingers=(10.0,), noise=(0.3,), keep=1)


def data(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = generator("gp test")
    z = rng.standard_normal((n, 22))
    return z, np.exp(-0.1 * np.sum((z[:, :6] - 0.7) ** 2, axis=1))


def test_one_process_is_the_textbooks():
    z, r = data(14)
    model = GroupedGP(z, r, ONE)
    lengths = np.repeat([1.5, 3.0, 10.0], [3, 3, 16])

    def k(a, b):
        return np.exp(-0.5 * (((a[:, None] - b[None]) / lengths) ** 2).sum(-1))

    fall = np.repeat(ONE.drop, [3, 3, 16])

    def prior(a):
        return -((a**2 - 1) * fall).sum(1) / 22

    y = (r - r.mean()) / r.std() - prior(z)
    gram = k(z, z) + 0.3 * np.eye(14)
    points = generator("gp points").standard_normal((5, 22))
    mean = prior(points) + k(points, z) @ np.linalg.solve(gram, y)
    signal = (ONE.strength + y @ np.linalg.solve(gram, y)) / (ONE.strength + 14)
    variance = signal * (1 - np.einsum("mn,mn->m", k(points, z), np.linalg.solve(gram, k(points, z).T).T))
    got = model.predict(points)
    np.testing.assert_allclose(got[0], mean, atol=1e-9)
    np.testing.assert_allclose(got[1], np.sqrt(variance), atol=1e-9)


@pytest.mark.parametrize("beta", [0.0, 1.5])
def test_gradient_is_the_derivative(beta):
    model = GroupedGP(*data(20))
    points = generator("gp points").standard_normal((3, 22))
    _, gradient = model.upper(points, beta)
    for d in (0, 4, 21):
        step = np.zeros(22)
        step[d] = 1e-5
        numeric = (model.upper(points + step, beta)[0] - model.upper(points - step, beta)[0]) / 2e-5
        np.testing.assert_allclose(gradient[:, d], numeric, rtol=1e-4, atol=1e-6)


def test_proposals_stay_in_the_trust_region():
    model = GroupedGP(np.eye(22)[:5], np.arange(5.0))
    best = climb(model, 9 * generator("starts").standard_normal((4, 22)), 50.0, 2.0, 1.0, 20)
    assert np.linalg.norm(best) <= 2.0 + 1e-9
    assert np.abs(best).max() <= 1.0
    inside = np.full((1, 22), 0.1)
    assert np.array_equal(into_region(inside, 2.0, 1.0), inside)


def test_finds_the_top_of_a_bowl_sooner_than_cem():
    def run(name):
        total = 0.0
        for seed in range(6):
            agent = make_agent(name, seed=seed, budget=20)
            for k in range(20):
                trial = agent.ask(context(k))
                z = trial.residual / grasp.SIGMA
                agent.tell(trial, float(np.exp(-0.15 * np.sum((z[:6] - [1.5, 0, -1, 0, 1, 0]) ** 2))))
            z = agent.freeze()([context(0)], [generator("x")])[0] / grasp.SIGMA
            total += np.exp(-0.15 * np.sum((z[:6] - [1.5, 0, -1, 0, 1, 0]) ** 2)) / 6
        return total

    assert run("gp+argmax") > run("cem+elite-mean") + 0.1


def test_pending_points_are_not_proposed_again():
    agent = make_agent("gp", seed=0, budget=30)
    for k in range(12):
        trial = agent.ask(context(k))
        agent.tell(trial, float(np.exp(-np.sum((trial.residual / grasp.SIGMA) ** 2) / 40)))
    ahead = np.array([agent.ask(context(k)).residual / grasp.SIGMA for k in range(12, 16)])
    distances = np.linalg.norm(ahead[:, None] - ahead[None], axis=-1)[np.triu_indices(4, 1)]
    assert distances.min() > 0.1


def test_long_and_foreign_histories_stay_quick_and_finite():
    agent = make_agent("gp+argmax", seed=0, budget=300)
    for k in range(160):
        trial = agent.ask(context(0)) if k > 150 else None
        if trial is None:
            from deft_env.episode import Trial

            trial = Trial(-1 - k, grasp.SIGMA * generator("far", k).standard_normal(22), context(0))
        agent.tell(trial, 0.5 if k % 7 else 1.0)
    assert np.isfinite(agent.ask(context(0)).residual).all()


CODE = """
import numpy as np
from deft_agents import make_agent
from deft_agents.testing import run, residuals
print(residuals(run(make_agent("gp", seed=1, budget=30), 0, 25)).tobytes().hex())
"""


def test_the_same_bits_for_any_number_of_blas_threads():
    import os

    out = [
        subprocess.run(
            [sys.executable, "-c", CODE],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
        ).stdout
        for threads in ("1", "2")
    ]
    assert out[0] == out[1]

"""What an agent asks: reproducible, inside the box, disturbed by nothing around it, whatever it is told."""

from __future__ import annotations

import random
import sys

import numpy as np

from deft_agents.testing.scenario import MakeAgent, act, context, residuals, reward, run
from deft_env import grasp
from deft_env.episode import Trial


def check_same_seed_same_asks(make: MakeAgent, episodes: int = 30) -> None:
    """The same seed gives the same asks, another seed others; ids count 0, 1, 2, …; contexts are carried."""
    one = run(make(seed=3, budget=episodes), 0, episodes)
    two = run(make(seed=3, budget=episodes), 0, episodes)
    other = run(make(seed=4, budget=episodes), 0, episodes)
    assert np.array_equal(residuals(one), residuals(two)), "the same seed asked different residuals"
    assert not np.array_equal(residuals(one), residuals(other)), "another seed asked the same residuals"
    assert [trial.id for trial in one] == list(range(episodes)), "trial ids must count asks: 0, 1, 2, …"
    assert all(np.array_equal(t.context.prior, context(k).prior) for k, t in enumerate(one))


def check_limits(make: MakeAgent, episodes: int = 30) -> None:
    """Asked residuals are finite and inside the 4-sigma box, also when reward pulls far outside it."""

    def outwards(trial: Trial) -> float:
        return float(1.0 / (1.0 + np.exp(-0.2 * np.sum(trial.residual / grasp.SIGMA))))

    asked = residuals(run(make(seed=0, budget=episodes), 0, episodes, outwards))
    assert asked.shape == (episodes, grasp.DIM)
    assert np.isfinite(asked).all()
    assert (asked <= grasp.RESIDUAL_HIGH).all(), "a residual above the box was asked"
    assert (asked >= grasp.RESIDUAL_LOW).all(), "a residual below the box was asked"


def check_interleaving(make: MakeAgent, episodes: int = 30) -> None:
    """Two agents in one process, and anything that uses the global generators, do not disturb each other."""
    alone = run(make(seed=5, budget=episodes), 0, episodes)
    first, second = make(seed=5, budget=episodes), make(seed=5, budget=episodes)
    pairs: list[tuple[Trial, Trial]] = []
    for k in range(episodes):
        np.random.seed(k)  # noqa: NPY002 - the global generator is what is under test
        random.seed(k)
        pairs.append((first.ask(context(k)), second.ask(context(k))))
        np.random.random()  # noqa: NPY002
        first.tell(pairs[-1][0], reward(pairs[-1][0]))
        second.tell(pairs[-1][1], reward(pairs[-1][1]))
    for which in (0, 1):
        assert np.array_equal(residuals(alone), residuals([p[which] for p in pairs])), (
            "an agent asked something else when another agent (or the global generators) ran beside it"
        )


def check_global_generators_untouched(make: MakeAgent, episodes: int = 12) -> None:
    """Neither numpy's, Python's nor torch's global generator moves."""
    np.random.seed(0)  # noqa: NPY002
    make(seed=0, budget=episodes)  # imports whatever it needs
    torch = sys.modules.get("torch")
    before = repr(np.random.get_state()), random.getstate(), torch.get_rng_state().tolist() if torch else None  # noqa: NPY002
    agent = make(seed=0, budget=episodes)
    run(agent, 0, episodes)
    agent.freeze()
    after = repr(np.random.get_state()), random.getstate(), torch.get_rng_state().tolist() if torch else None  # noqa: NPY002
    for name, was, now in zip(("numpy", "random", "torch"), before, after, strict=True):
        assert was == now, f"the global generator of {name} was used"


def check_equal_rewards(make: MakeAgent, episodes: int = 30) -> None:
    """Rewards that are all the same give no error and no NaN."""
    for value in (0.0, 1.0):
        agent = make(seed=0, budget=episodes)
        assert np.isfinite(residuals(run(agent, 0, episodes, lambda _, value=value: value))).all()  # type: ignore[misc]
        assert np.isfinite(act(agent.freeze())).all()


def check_small_budgets(make: MakeAgent, episodes: int = 7) -> None:
    """A budget of one, and one that no population divides; asking beyond the budget is allowed."""
    for budget in (1, episodes):
        agent = make(seed=0, budget=budget)
        run(agent, 0, budget)
        assert np.isfinite(act(agent.freeze())).all()
        run(agent, budget, budget + 2)

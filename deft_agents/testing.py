"""The contract of every agent, as functions that anybody can run on their own.

    from functools import partial
    import pytest
    from deft_agents import make_agent
    from deft_agents.testing import CHECKS

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_my_search(check):
        check(partial(make_agent, "my-search"))

Each check takes ``make(*, seed, budget) -> Agent`` and raises ``AssertionError`` with what is wrong. ``episodes`` (how
long the runs are) can be lowered for agents that cost seconds. Nothing here needs pytest.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from deft_agents.agent import Agent, Policy
from deft_agents.policies.base import load_policy, save_policy
from deft_env import grasp
from deft_env.episode import Context, Status, Trial, generator, jsonable

Array = NDArray[np.float64]
FEATURES: Final = 6


class MakeAgent(Protocol):
    """Makes a fresh agent, such as ``functools.partial(make_agent, "cem+cvae")``."""

    def __call__(self, *, seed: int, budget: int) -> Agent:
        """A fresh agent."""
        ...


def context(k: int) -> Context:
    """A made-up context: prior and features follow from ``k`` alone."""
    rng = generator("agent contract", k)
    middle = np.array([0.45, 0.0, 0.1] + [0.3] * 19) + grasp.SIGMA * rng.standard_normal(grasp.DIM)
    return Context(middle, rng.standard_normal(FEATURES), "contract")


def reward(trial: Trial) -> float:
    """A bowl whose best residual is 0.8 sigma in every dimension, in [0, 1]."""
    return float(np.exp(-0.03 * np.sum((trial.residual / grasp.SIGMA - 0.8) ** 2)))


def run(agent: Agent, start: int, stop: int, score: Callable[[Trial], float] = reward) -> list[Trial]:
    """Episodes ``start`` to ``stop`` of the plain loop: ask, score, tell."""
    trials = []
    for k in range(start, stop):
        trial = agent.ask(context(k))
        agent.tell(trial, score(trial))
        trials.append(trial)
    return trials


def residuals(trials: list[Trial]) -> Array:
    """(n, 22) of the trials."""
    return np.array([trial.residual for trial in trials])


def act(policy: Policy, count: int = 4) -> Array:
    """What a policy does in the first contexts, each with its own generator."""
    return policy([context(k) for k in range(count)], [generator("act", k) for k in range(count)])


@contextmanager
def refused(what: str) -> Any:
    """Asserts that the block raises ``ValueError`` with a message."""
    try:
        yield
    except ValueError as error:
        if not str(error):
            raise AssertionError(f"{what} was refused without a message") from error
    else:
        raise AssertionError(f"{what} was accepted; expected ValueError")


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


def _status(failed: bool) -> Status:
    return Status.FAILED if failed else Status.COMPLETED


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


CHECKS: Final = (
    check_same_seed_same_asks,
    check_limits,
    check_interleaving,
    check_global_generators_untouched,
    check_state_mid_run,
    check_state_refused,
    check_replay,
    check_out_of_order,
    check_failed_trials,
    check_foreign_trials,
    check_bad_tells,
    check_equal_rewards,
    check_small_budgets,
    check_freeze,
    check_policy_batches,
    check_policy_file,
    check_fuzz,
)
"""Every check, for ``pytest.mark.parametrize``."""


def golden_asks(make: MakeAgent, episodes: int = 16) -> Array:
    """First, second and last ask of a short run of seed 0, (3, 22) in units of sigma: what golden files hold."""
    trials = run(make(seed=0, budget=30), 0, episodes)
    points: Array = residuals([trials[0], trials[1], trials[-1]]) / grasp.SIGMA
    return points

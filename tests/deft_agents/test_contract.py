"""The contract suite over the whole registry: every search with its recommendation, every policy on CEM."""

from __future__ import annotations

import importlib.util
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from deft_agents import list_agents, make_agent, policies
from deft_agents.testing import CHECKS, golden_asks

GOLDEN = Path(__file__).with_name("golden_asks.json")
EXTRA_MODULES = {"nevergrad": "nevergrad", "sb3": "stable_baselines3", "bo": "botorch"}
ROWS = {row.name: row for row in list_agents() if row.kind != "alias"}
SEARCHES = [name for name, row in ROWS.items() if row.kind == "search"]
POLICIES = [name for name, row in ROWS.items() if row.kind == "policy"]
QUICK = {"steps": 15, "width": 16}
"""Neural policies are trained just enough to be functions of their input; what they learn is tested elsewhere."""
EPISODES = {"bo": 8, "sb3": 24, "cem-vae": 14}


def skip_without(name: str) -> None:
    module = EXTRA_MODULES.get(ROWS[name].extra)
    if module and importlib.util.find_spec(module) is None:
        pytest.skip(f"the extra {ROWS[name].extra!r} is not installed")


def quick_options(policy: str) -> dict[str, int]:
    import inspect

    return {k: v for k, v in QUICK.items() if k in inspect.signature(policies.load(policy)).parameters}


def quick_search(name: str) -> dict[str, int]:
    if name == "sb3:sac":
        return {"gradient_steps": 2, "width": 16}
    if ROWS[name].extra == "bo":
        return {"warmup": 5}
    return QUICK if name == "cem-vae" else {}


def golden_episodes(name: str) -> int:
    """BoTorch's proposals take seconds and differ in the last digits between its versions: its warm-up is held."""
    return 5 if ROWS[name].extra == "bo" else 16


def cases() -> list:
    out = []
    for name in SEARCHES:
        marks = [pytest.mark.slow] if ROWS[name].extra == "bo" else []
        out.append(pytest.param(name, id=name, marks=marks))
    out += [pytest.param(f"cem+{name}", id=f"cem+{name}") for name in POLICIES if name != "recommend"]
    return out


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("name", cases())
def test_contract(name, check):
    search, _, policy = name.partition("+")
    skip_without(search)
    options = quick_options(policy) if policy else quick_search(search)
    make = partial(make_agent, name, **options)
    family = search.partition(":")[0]
    episodes = EPISODES.get(family)
    if episodes and check.__name__ not in ("check_small_budgets", "check_state_refused"):
        check(make, episodes=max(episodes, 12) if check.__name__ == "check_out_of_order" else episodes)
    else:
        check(make)


@pytest.mark.parametrize("name", SEARCHES)
def test_golden_first_asks(name):
    """What an agent asks may change only knowingly: regenerate with ``python tests/deft_agents/make_golden.py``."""
    skip_without(name)
    golden = json.loads(GOLDEN.read_text())
    assert name in golden, f"no golden asks for {name!r}: run make_golden.py"
    now = golden_asks(partial(make_agent, name, **quick_search(name)), golden_episodes(name))
    np.testing.assert_allclose(now, golden[name], rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("search", SEARCHES)
def test_every_search_with_every_policy(search, policy):
    from deft_agents.testing import act, run

    skip_without(search)
    skip_without(policy)
    budget = 6 if ROWS[search].extra == "bo" else 12
    agent = make_agent(f"{search}+{policy}", seed=0, budget=budget, **quick_options(policy))
    run(agent, 0, budget)
    assert np.isfinite(act(agent.freeze())).all()

"""Names, options, absent libraries, third parties, and what importing costs."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import numpy as np
import pytest

import deft_env.registry
from deft_agents import Search, list_agents, make_agent, register_search, split_name
from deft_agents.registry import searches
from deft_agents.testing import CHECKS


class Corner(Search):
    """A third party's search: walks along one diagonal."""

    def __init__(self, *, seed: int, budget: int, step: float = 0.1) -> None:
        super().__init__(seed=seed, budget=budget)
        self.step, self.asked, self.best = step, 0, (-1.0, np.zeros(22))

    def ask(self, context):
        self.asked += 1
        return self.step * self.asked + 0.01 * self.rng.standard_normal(22)

    def tell(self, number, z, reward, context):
        if reward >= self.best[0]:
            self.best = (reward, z)

    def recommend(self):
        return self.best[1]


class Point:
    name, module, value = "corner", "somebody", f"{__name__}:Corner"


@pytest.fixture
def third_party(monkeypatch):
    monkeypatch.setattr(deft_env.registry, "entry_points", lambda group: [Point] if group == "deft.searches" else [])
    monkeypatch.setattr(searches, "_loaded", False)
    yield "corner"
    searches._entries.pop("corner", None)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_third_partys_search_appears_and_passes(third_party, check):
    assert "corner" in [row.name for row in list_agents()]
    check(lambda **kw: make_agent("corner+elite-mean", **kw))


def test_names():
    assert split_name("deft") == ("cem", "cvae")
    assert split_name("cem") == ("cem", "recommend")
    assert make_agent("deft", seed=0, budget=30).name == "cem+cvae"
    for bad in ("", "+cvae", "cem+", "cem+cvae+mlp"):
        with pytest.raises(ValueError, match="search"):
            make_agent(bad, seed=0, budget=30)


@pytest.mark.parametrize(("name", "nearest"), [("cemm", "cem"), ("cem+cave", "cvae")])
def test_unknown_names_list_what_there_is(name, nearest):
    with pytest.raises(KeyError, match=f"Did you mean '{nearest}'"):
        make_agent(name, seed=0, budget=30)


def test_unknown_options_are_errors():
    with pytest.raises(ValueError, match="unknown option 'elite'"):
        make_agent("cem+cvae", seed=0, budget=30, elite=3)
    with pytest.raises(ValueError, match="unknown option 'variant'"):
        make_agent("cem", seed=0, budget=30, variant="x")


@pytest.mark.parametrize("arguments", [{"seed": -1}, {"seed": 0.5}, {"budget": 0}, {"reward_range": (1.0, 0.0)}])
def test_bad_arguments_are_named(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        make_agent("cem", **{"seed": 0, "budget": 30, **arguments})


def test_names_that_cannot_be_typed_are_refused():
    for name in ("", "a+b", "two words", "deft", "cem"):
        with pytest.raises(ValueError):
            register_search(name, Corner)


def test_options_of_a_base_class_are_passed_on():
    search = make_agent("gp-trained", seed=0, budget=3, noise=0.2, beta=1.5).search
    assert (search.noise, search.beta, search.radius) == (0.2, 1.5, 4.0)
    with pytest.raises(ValueError, match=r"unknown option 'elites'.*'noise', 'doubt', 'warmup', 'beta'"):
        make_agent("gp-trained", seed=0, budget=3, elites=3)


def test_shared_options_go_to_both():
    agent = make_agent("cem+elite-mean", seed=0, budget=30, elites=4)
    assert (agent.search.elites, agent.policy.elites) == (4, 4)


def test_other_reward_ranges():
    agent = make_agent("cem", seed=0, budget=3, reward_range=(-np.inf, 0.0))
    from deft_agents.testing import context

    agent.tell(agent.ask(context(0)), -123.0)
    with pytest.raises(ValueError, match="reward"):
        agent.tell(agent.ask(context(1)), -np.inf)


HEAVY = ("torch", "mujoco", "nevergrad", "cma", "cmaes", "stable_baselines3", "botorch", "scipy.stats")


def test_import_and_listing_are_light():
    code = (
        "import sys, deft_agents as a; a.list_agents(); a.make_agent('cem+elite-mean', seed=0, budget=3);"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def absent(module: str, code: str) -> str:
    """Runs code in a process in which ``module`` cannot be imported."""
    block = (
        "import sys, importlib.abc\n"
        "class Absent(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name.partition('.')[0] == {module!r}: raise ModuleNotFoundError(f'No module named {{name!r}}')\n"
        "sys.meta_path.insert(0, Absent())\n"
    )
    done = subprocess.run([sys.executable, "-c", block + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("module", "extra", "agent"),
    [("nevergrad", "nevergrad", "ng:DE"), ("stable_baselines3", "sb3", "sb3:sac"), ("botorch", "bo", "bo:turbo")],
)
def test_without_an_optional_library_the_rest_works_and_the_error_names_the_extra(module, extra, agent):
    if agent not in searches.names():
        pytest.skip(f"{agent} is not registered")
    code = (
        "from deft_agents import make_agent, list_agents\n"
        "from deft_agents.testing import run\n"
        "run(make_agent('cem+elite-mean', seed=0, budget=12), 0, 12)\n"
        f"try: make_agent({agent!r}, seed=0, budget=12)\n"
        "except ImportError as error: print(error)\n"
    )
    assert f"pip install 'deft-hand[{extra}]'" in absent(module, code)


def test_without_torch_searches_and_saved_policies_work(tmp_path):
    from deft_agents import save_policy
    from deft_agents.testing import run

    agent = make_agent("cem+cvae", seed=0, budget=12, steps=3, width=8)
    run(agent, 0, 12)
    save_policy(agent.freeze(), tmp_path / "p.safetensors")
    code = (
        "from deft_agents import load_policy, make_agent\n"
        "from deft_agents.testing import act, run\n"
        "run(make_agent('cem', seed=0, budget=12), 0, 12)\n"
        f"print(act(load_policy({str(tmp_path / 'p.safetensors')!r})).shape)\n"
    )
    assert absent("torch", code) == "(4, 22)"


def test_entry_point_groups_are_the_documented_ones():
    assert searches.group == "deft.searches"
    assert importlib.metadata.entry_points is not None

"""Agents that are listed under different names are different agents."""

from __future__ import annotations

from functools import partial

import pytest

from deft_agents import list_agents, make_agent
from deft_agents.duplicates import find_duplicates
from deft_agents.testing import check_fuzz, check_limits, check_out_of_order, check_state_mid_run


def test_no_two_listed_searches_ask_the_same_points():
    names = [row.name for row in list_agents() if row.kind == "search" and row.available and not row.slow]
    assert find_duplicates(names) == {}


def test_the_detector_finds_what_is_known():
    pytest.importorskip("nevergrad")
    found = find_duplicates(["ng:OnePlusOne", "ng:NGOpt", "ng:DE", "ng:TwoPointsDE", "ng:PSO"])
    assert found == {"ng:NGOpt": "ng:OnePlusOne", "ng:TwoPointsDE": "ng:DE"}


def test_policies_do_not_change_what_is_asked():
    assert find_duplicates(["cem", "cem+elite-mean"]) == {"cem+elite-mean": "cem"}


def test_unknown_nevergrad_names_are_clear():
    pytest.importorskip("nevergrad")
    with pytest.raises(ValueError, match="OnePlusOne"):
        make_agent("ng:OnePlusTwo", seed=0, budget=30)


@pytest.mark.parametrize("check", [check_out_of_order, check_state_mid_run, check_fuzz, check_limits])
def test_threaded_optimizers_work_by_name(check):
    pytest.importorskip("nevergrad")
    check(partial(make_agent, "ng:Cobyla"))

"""``deft tune PickCup --agent NAME`` for every name of ``deft list agents``, on a landscape (nothing is grasped)."""

from __future__ import annotations

import importlib.util

import pytest

from deft_agents import list_agents
from deft_agents.registry import _EXTRA_MODULES
from deft_experiments import cli

ROWS = list_agents()
QUICK = ("deft", "gp", "cem+transformer")
"""In every test run; the others take about a second each and are for the long suite."""


def names() -> list:
    out = []
    for row in ROWS:
        agent = f"cem+{row.name}" if row.kind == "policy" else row.name
        out.append(pytest.param(agent, row.extra, id=agent, marks=[] if agent in QUICK else [pytest.mark.slow]))
    return out


@pytest.mark.parametrize(("agent", "extra"), names())
def test_tune_takes_every_listed_name(agent, extra, tmp_path, monkeypatch, capsys):
    module = _EXTRA_MODULES.get(extra)
    if module and importlib.util.find_spec(module) is None:
        pytest.skip(f"the extra {extra!r} is not installed")
    monkeypatch.chdir(tmp_path)
    options = ["--rig", "landscape", "--episodes", "3", "--eval-trials", "2", "--keep-frames", "none"]
    code = cli.main(["tune", "PickCup", "--agent", agent, *options])
    said = capsys.readouterr()
    assert code == 0, said.err[-2000:]
    assert agent.partition("+")[0] in said.out or agent == "deft"

"""``deft list``: what is installed, and what each part needs."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import tyro

from deft_env import registries
from deft_env.registry import Registry

_SDKS: Final = {"hardware": ("xarm", "dynamixel_sdk", "pyrealsense2")}
"""Modules by which one sees whether an extra of a rig is installed; agents say so themselves."""

Kind = Literal["all", "tasks", "agents", "rewards", "priors", "encoders", "rigs"]


@dataclass(frozen=True)
class Args:
    """Lists tasks, agents, rewards, priors, encoders and rigs.

    Attributes:
        kind: which list.
        json: print JSON instead of a table.
    """

    kind: Annotated[Kind, tyro.conf.Positional] = "all"
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False


def _rows(registry: Registry) -> list[dict[str, Any]]:
    return [
        {
            "name": e.name,
            "summary": e.summary,
            "extra": e.extra,
            "stand_in": e.stand_in or e.name == "landscape",
            "installed": all(importlib.util.find_spec(module) is not None for module in _SDKS.get(e.extra, ())),
        }
        for e in (registry.entry(name) for name in registry.names())
    ]


def _agents() -> list[dict[str, Any]]:
    from deft_agents import list_agents

    return [
        {
            "name": a.name,
            "kind": a.kind,
            "summary": a.summary,
            "extra": a.extra,
            "slow": a.slow,
            "installed": a.available,
        }
        for a in list_agents()
    ]


def collect(kind: Kind) -> dict[str, list[dict[str, Any]]]:
    """The rows of one list, or of all."""
    makers = {
        "tasks": lambda: _rows(registries.tasks),
        "agents": _agents,
        "rewards": lambda: _rows(registries.rewards),
        "priors": lambda: _rows(registries.priors),
        "encoders": lambda: _rows(registries.encoders),
        "rigs": lambda: _rows(registries.rigs),
    }
    return {name: make() for name, make in makers.items() if kind in ("all", name)}


def run(args: Args) -> int:
    """Prints the lists."""
    found = collect(args.kind)
    if args.json:
        print(json.dumps(found, indent=1))
        return 0
    from rich.markup import escape
    from rich.table import Table

    from deft_experiments.terminal import output

    console = output()
    for name, rows in found.items():
        table = Table(title=name, title_justify="left", box=None, pad_edge=False)
        for column in ("name", "what", "needs"):
            table.add_column(column, no_wrap=column == "name")
        for row in rows:
            what = row["summary"]
            if row.get("kind"):
                what = f"{row['kind']}: {what}"
            if row.get("stand_in"):
                what = f"{what} (a stand-in)" if what else "a stand-in"
            needs = row["extra"] and f"pip install -c constraints.txt -e '.[{row['extra']}]'"
            if row["installed"] and needs:
                needs = f"{row['extra']} (installed)"
            table.add_row(row["name"], escape(what), escape(needs))
        console.print(table)
        if name == "agents":
            console.print("An agent is SEARCH+POLICY, such as cem+elite-mean; a bare search means SEARCH+recommend.")
        console.print()
    return 0

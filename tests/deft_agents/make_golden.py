"""Writes golden_asks.json beside this file: run it when what an agent asks changes on purpose."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from test_contract import golden_episodes, quick_search

from deft_agents import list_agents, make_agent
from deft_agents.testing import golden_asks

if __name__ == "__main__":
    path = Path(__file__).with_name("golden_asks.json")
    golden = json.loads(path.read_text()) if path.exists() else {}
    for row in list_agents():
        if row.kind == "search" and row.available:
            make = partial(make_agent, row.name, **quick_search(row.name))
            points = golden_asks(make, golden_episodes(row.name))
            golden[row.name] = [[float(f"{x:.9g}") for x in point] for point in points]
    lines = ",\n".join(f'"{name}": {json.dumps(golden[name])}' for name in sorted(golden))
    path.write_text("{\n" + lines + "\n}\n")

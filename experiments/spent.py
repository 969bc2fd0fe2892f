"""Where the CPU time of sweeps went: measured in the workers, added up in the folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deft_experiments import images

FILE: Final = "spent.json"
ALL: Final = "all"
"""CPU seconds of the processes, start-up included; the named parts are some of it."""
PHYSICS: Final = "executing grasps (controls, physics, judge)"
SCENES: Final = "scenes"
PRIOR: Final = "priors and image features, with rendering"
REWARDS: Final = "rewards, with rendering"
AGENTS: Final = "searches"
FITTING: Final = "fitting policies"
Spent = dict[str, float]
"""CPU seconds by what they went into."""


def add_up(total: Spent, more: Mapping[str, float]) -> None:
    """Adds seconds to those of a total."""
    for what, seconds in more.items():
        total[what] = total.get(what, 0.0) + seconds


def read(folder: Path) -> Spent:
    """What the sweeps of a folder took so far (without interrupted ones); empty if nobody noted it."""
    try:
        noted = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return {str(k): float(v) for k, v in noted.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def note(folder: Path, more: Mapping[str, float]) -> None:
    """Adds the seconds of one more sweep."""
    total = read(folder)
    add_up(total, more)
    images.write_text(folder / FILE, json.dumps(total, indent=1, sort_keys=True) + "\n")


def in_words(of: Mapping[str, float]) -> str:
    """Minutes and shares, the largest first; empty without a total."""
    whole = of.get(ALL, 0.0)
    if whole <= 0.0:
        return ""
    parts = sorted(((s, what) for what, s in of.items() if what != ALL), reverse=True)
    rest = whole - sum(s for s, _ in parts)
    shares = [f"{what} {s / whole:.0%}" for s, what in parts if s / whole >= 0.005]
    return f"{whole / 60:.1f} min of CPU: {', '.join(shares)}, start-up, storing and the rest {rest / whole:.0%}"

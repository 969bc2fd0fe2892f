"""The leaderboard's columns: one line an agent, for Markdown and HTML, and as JSON values."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, Final

from deft_experiments import statistics
from deft_experiments.leaderboard import Entry

HEAD: Final = (
    *("rank", "agent", "prior", "told", "rig", "success [95 %]", "− DEFT", "p", "seeds × trials"),
    *("operator min", "robot s", "aborts / collisions / unreachable"),
)


def objects(splits: Sequence[str]) -> str:
    """The splits in words."""
    named = {"train": "training", "test": "test"}
    return " and ".join(named.get(split, split) for split in splits) + " objects"


def brief(entries: Sequence[Entry]) -> tuple[list[str], list[list[str]]]:
    """Head and lines without the columns that are the same for every agent: prior, reward, rig."""
    rows = lines(entries)
    told = [i for i, e in enumerate(entries) if e.cost is not None]
    same = {n for n in ("prior", "told", "rig") if len({rows[i][HEAD.index(n)] for i in told}) <= 1}
    kept = [i for i, n in enumerate(HEAD) if n not in same]
    return [HEAD[i] for i in kept], [[row[i] for i in kept] for row in rows]


def lines(entries: Sequence[Entry]) -> list[list[str]]:
    """One line an entry, the columns of ``HEAD``."""
    out, rank, rig = [], 0, ""
    for e in entries:
        rank = rank + 1 if e.rig == rig else 1
        rig = e.rig
        if e.success is None:
            place, success, size = "–", f"incomplete: {len(e.tasks)} task(s)", "–"
        else:
            place, success = str(rank), f"{e.success.estimate:.3f} [{e.success.low:.3f}, {e.success.high:.3f}]"
            size = f"{e.seeds} × {e.trials}"
        over, p = ("", "") if e.over_deft is None else (_signed(e.over_deft), f"{e.p:.2g}")
        c = e.cost
        spent = ["–"] * 3
        if c is not None:
            mishaps = " / ".join(f"{n:.1f}" for n in (c.aborts, c.collisions, c.unreachable))
            spent = [f"{c.operator_s / 60:.0f}", f"{c.robot_s:.0f}", mishaps]
        out.append([place, e.name, e.prior, e.reward or "–", e.rig, success, over, p, size, *spent])
    return out


def _signed(d: statistics.Interval) -> str:
    return f"{d.estimate:+.3f} [{d.low:+.3f}, {d.high:+.3f}]"


def as_dicts(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Plain JSON values."""
    loaded: list[dict[str, Any]] = json.loads(json.dumps([dataclasses.asdict(e) for e in entries]))
    return loaded

"""``deft figure 6``, ``deft figure 7``: the paper's learning curves, ours and the paper's on the same axes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from deft_experiments import config as cfg
from deft_experiments import images, paper_figures, tables
from deft_experiments.commands import paper_sweep, sweeping


@dataclass(frozen=True)
class Args(sweeping.SweepArgs):
    """Evaluates the policies distilled after 10, 20 and 30 episodes on training objects and draws the curves.

    Leaves figure-N.png, .pdf, .svg and .json in the folder. A folder of `deft table 2` (--out) already holds most of
    figure 6.

    Attributes:
        number: 6 (DEFT and real-world only, six tasks) or 7 (DEFT, three more tasks).
        all_tasks: all nine tasks.
        at: distil after these episodes.
    """

    number: Annotated[Literal[6, 7], tyro.conf.Positional] = tyro.MISSING
    all_tasks: sweeping.Flag = False
    at: tuple[int, ...] = cfg.SNAPSHOTS


def of_settings(wanted: Mapping[str, Any], _: Mapping[str, Path]) -> tables.Table:
    """The methods and tasks that kept settings ask for."""
    return paper_figures.figure(
        wanted["number"],
        tasks=wanted["tasks"],
        all_tasks=wanted["all_tasks"],
        prior=wanted["prior"],
        heuristic=wanted["heuristic"],
    )


def run(args: Args) -> int:
    """Runs what is missing, draws, prints the points."""
    played = paper_sweep.play(args, f"figure-{args.number}", of_settings, splits=(paper_figures.SPLIT,))
    if played is None:
        return sweeping.INTERRUPTED
    result = build(played)

    def say(console: Any) -> None:
        found = [paper_figures.Point(**p) for p in result["points"]]
        console.print(paper_figures.markdown(found), highlight=False, markup=False)

    others = ", ".join(f".{name}" for name in (*paper_figures.FORMATS[1:], "json"))
    return paper_sweep.show(played, result, args.json, say, f"figure-{args.number}.png, {others}")


def build(played: paper_sweep.Played) -> dict[str, Any]:
    """Draws the figure from the folder's store in every format; its points as plain JSON values."""
    what, at = played.what, played.plan.at
    found, shared = paper_sweep.found(played)
    points = paper_figures.points(what, found, at)
    for name, data in paper_figures.draw(what, points, at).items():
        images.write_bytes(played.folder / f"figure-{what.number}.{name}", data)
    result = {**shared, "figure": what.number, "points": paper_figures.as_dicts(points)}
    text = json.dumps(result, indent=1, sort_keys=True) + "\n"
    images.write_text(played.folder / f"figure-{what.number}.json", text)
    return result

"""``deft figure 6``, ``deft figure 7``: the paper's learning curves, ours and the paper's on the same axes."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from deft_experiments import config as cfg
from deft_experiments import images, paper_figures, rates, sweep, tables, terminal
from deft_experiments.commands import sweeping
from deft_experiments.errors import UsageError
from deft_experiments.store import Store


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

    number: Annotated[Literal[6, 7], tyro.conf.Positional] = 6
    all_tasks: sweeping.Flag = False
    at: tuple[int, ...] = cfg.SNAPSHOTS


def _file(number: int) -> str:
    return f"figure-{number}.settings.json"


def run(args: Args) -> int:
    """Runs what is missing, draws, prints the points."""
    started = time.time()
    weights = cfg.parse_weights(args.weights)
    command = f"deft figure {args.number}"
    if args.resume:
        wanted = sweeping.resumed(args.resume, _file(args.number), args, command)
    else:
        wanted = sweeping.settings(args, tables.SEEDS, tables.TRIALS, tables.QUICK_SEEDS, tables.QUICK_TRIALS)
    at = tuple(sorted(set(wanted["at"])))
    if not at or not 1 <= at[0] <= at[-1] <= wanted["episodes"]:
        raise UsageError(f"--at: expected numbers in 1 … {wanted['episodes']}, got {list(at)}")
    what = paper_figures.figure(
        args.number,
        tasks=wanted["tasks"],
        all_tasks=wanted["all_tasks"],
        prior=wanted["prior"],
        heuristic=wanted["heuristic"],
    )
    base = sweeping.base_config(wanted, what.tasks[0])
    sweeping.base_config({**wanted, "prior": wanted["heuristic"]}, what.tasks[0])
    size = {"seeds": wanted["seeds"], "trials": wanted["trials"]}
    whole = tables.plan(what, base, **size, weights=weights, at=at, splits=(paper_figures.SPLIT,))
    folder = args.resume or args.out or sweep.new_folder(f"figure-{args.number}")
    sweeping.keep(folder, _file(args.number), wanted)
    again = f"{command} --resume {folder}"
    if not sweeping.carry_out(whole, folder, workers=args.workers, ray=args.ray, again=again):
        return sweeping.INTERRUPTED
    result = build(folder, what, whole, wanted)
    if args.json:
        print(
            json.dumps({**result, "wall_clock": {"seconds": round(time.time() - started, 3)}}, indent=1, sort_keys=True)
        )
        return 0
    console = terminal.output()
    if result["stand_ins"]:
        console.print(f"stand-ins, not the real thing: {', '.join(result['stand_ins'])}", highlight=False)
    found = [paper_figures.Point(**p) for p in result["points"]]
    console.print(paper_figures.markdown(found), highlight=False, markup=False)
    files = ", ".join(f".{name}" for name in paper_figures.FORMATS[1:])
    console.print(
        f"{folder}/figure-{args.number}.png, {files}; {time.time() - started:.0f} s", highlight=False, soft_wrap=True
    )
    return 0


def build(folder: Path, what: tables.Table, whole: sweep.Plan, wanted: dict[str, Any]) -> dict[str, Any]:
    """Draws the figure from the folder's store in every format; its points as plain JSON values."""
    runs = {job.config.run_id for job in whole.jobs}
    with Store(folder, "r") as store:
        found = paper_figures.points(what, rates.read(store, trials=whole.trials, runs=runs), whole.at)
        stand_ins = sorted({s for run in runs for s in store.run(run)[1].get("stand_ins", [])})
    for name, data in paper_figures.draw(what, found, whole.at).items():
        images.write_bytes(folder / f"figure-{what.number}.{name}", data)
    points = paper_figures.as_dicts(found)
    result = {"figure": what.number, "settings": wanted, "points": points, "stand_ins": stand_ins}
    images.write_text(folder / f"figure-{what.number}.json", json.dumps(result, indent=1, sort_keys=True) + "\n")
    return result

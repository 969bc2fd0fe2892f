"""What ``deft table`` and ``deft figure`` share: one sweep of the paper's methods, its settings, its folder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deft_env.episode import SPLITS
from deft_experiments import config as cfg
from deft_experiments import rates, sweep, tables, terminal
from deft_experiments.commands import sweeping
from deft_experiments.errors import UsageError
from deft_experiments.store import Store


@dataclass(frozen=True, slots=True)
class Played:
    """A finished sweep.

    Attributes:
        folder: where its store lies.
        what: rows and tasks.
        plan: its runs.
        wanted: its settings, as kept in the folder.
        started: when the command was called (s since the epoch).
    """

    folder: Path
    what: tables.Table
    plan: sweep.Plan
    wanted: dict[str, Any]
    started: float


def play(
    args: sweeping.SweepArgs,
    name: str,
    make: Callable[[Mapping[str, Any], Mapping[str, Path]], tables.Table],
    *,
    splits: tuple[str, ...] = SPLITS,
) -> Played | None:
    """Plays what the folder lacks of a table or figure.

    Args:
        args: options; with ``resume`` those kept in the folder count.
        name: of the product, such as ``table-2``; the command is its words.
        make: rows and tasks from settings and weights.
        splits: what is evaluated.

    Returns:
        None if it was interrupted by Ctrl-C.

    Raises:
        UsageError: for a wrong option, before anything runs.
    """
    started = time.time()
    weights = cfg.parse_weights(args.weights)
    command, file = f"deft {name.replace('-', ' ')}", f"{name}.settings.json"
    if args.resume:
        wanted = sweeping.resumed(args.resume, file, args, command)
    else:
        wanted = sweeping.settings(args, tables.SEEDS, tables.TRIALS, tables.QUICK_SEEDS, tables.QUICK_TRIALS)
    marks = tuple(sorted(set(wanted.get("at", [wanted["episodes"]]))))
    if not marks or not 1 <= marks[0] <= marks[-1] <= wanted["episodes"]:
        raise UsageError(f"--at: expected numbers in 1 … {wanted['episodes']}, got {list(marks)}")
    what = make(wanted, weights)
    for prior in dict.fromkeys((wanted["prior"], wanted["heuristic"], *(row.prior for row in what.rows))):
        sweeping.base_config({**wanted, "prior": prior}, what.tasks[0])
    base = sweeping.base_config(wanted, what.tasks[0])
    size = {"seeds": wanted["seeds"], "trials": wanted["trials"]}
    whole = tables.plan(what, base, **size, weights=weights, at=marks, splits=splits)
    folder = args.resume or args.out or sweep.new_folder(name)
    sweeping.keep(folder, file, wanted)
    again = f"{command} --resume {folder}"
    if not sweeping.carry_out(whole, folder, workers=args.workers, ray=args.ray, again=again):
        return None
    return Played(folder, what, whole, wanted, started)


def found(played: Played) -> tuple[rates.Rates, dict[str, Any]]:
    """Success by seed of the sweep's runs, and what goes into every result: settings, command, stand-ins."""
    runs = {job.config.run_id for job in played.plan.jobs}
    with Store(played.folder, "r") as store:
        where = [store.run(run)[1] for run in sorted(runs)]
        of = rates.read(store, trials=played.plan.trials, runs=runs)
    stand_ins = sorted({s for told in where for s in told.get("stand_ins", [])})
    return of, {"settings": played.wanted, "stand_ins": stand_ins, "command": where[0].get("command", "")}


def show(played: Played, result: Mapping[str, Any], as_json: bool, say: Callable[[Any], None], files: str) -> int:
    """Prints a result: as JSON, or its stand-ins, what ``say`` prints on the console, and where the files are."""
    seconds = time.time() - played.started
    if as_json:
        print(json.dumps({**result, "wall_clock": {"seconds": round(seconds, 3)}}, indent=1, sort_keys=True))
        return 0
    console = terminal.output()
    if result["stand_ins"]:
        console.print(f"stand-ins, not the real thing: {', '.join(result['stand_ins'])}", highlight=False)
    say(console)
    console.print(f"folder: {played.folder} ({files}), {seconds:.0f} s", highlight=False, soft_wrap=True)
    return 0

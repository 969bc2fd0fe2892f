"""``deft table 2``, ``deft table 3``: the paper's tables, ours beside the paper's."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from deft_experiments import config as cfg
from deft_experiments import findings, images, rates, sweep, table_formats, tables, terminal
from deft_experiments.commands import sweeping
from deft_experiments.store import Store


@dataclass(frozen=True)
class Args(sweeping.SweepArgs):
    """Runs the methods of the paper's table 2 or 3 on the same scenes and sets our success beside the paper's.

    Leaves table-N.md, .tex, .csv and .json in the folder. Both tables and the figures may share one folder (--out):
    what they have in common runs once.

    Attributes:
        number: 2 (methods) or 3 (rewards and policies).
        all_tasks: all nine tasks.
        stand_ins: table 3: also a reward from a random encoder, named as a stand-in.
    """

    number: Annotated[Literal[2, 3], tyro.conf.Positional] = 2
    all_tasks: sweeping.Flag = False
    stand_ins: sweeping.Flag = False


def _file(number: int) -> str:
    return f"table-{number}.settings.json"


def of_settings(wanted: dict[str, Any], weights: dict[str, Path]) -> tables.Table:
    """The table that kept settings ask for."""
    return tables.table(
        wanted["number"],
        all_tasks=wanted["all_tasks"],
        tasks=wanted["tasks"],
        prior=wanted["prior"],
        heuristic=wanted["heuristic"],
        weights=weights,
        stand_ins=wanted["stand_ins"],
    )


def run(args: Args) -> int:
    """Runs what is missing, prints the table and writes it in every format."""
    started = time.time()
    weights = cfg.parse_weights(args.weights)
    command = f"deft table {args.number}"
    if args.resume:
        wanted = sweeping.resumed(args.resume, _file(args.number), args, command)
    else:
        wanted = sweeping.settings(args, tables.SEEDS, tables.TRIALS, tables.QUICK_SEEDS, tables.QUICK_TRIALS)
    table = of_settings(wanted, weights)
    base = sweeping.base_config(wanted, table.tasks[0])
    sweeping.base_config({**wanted, "prior": wanted["heuristic"]}, table.tasks[0])
    whole = tables.plan(
        table, base, seeds=wanted["seeds"], trials=wanted["trials"], weights=weights, at=(base.episodes,)
    )
    folder = args.resume or args.out or sweep.new_folder(f"table-{args.number}")
    sweeping.keep(folder, _file(args.number), wanted)
    again = f"{command} --resume {folder}"
    if not sweeping.carry_out(whole, folder, workers=args.workers, ray=args.ray, again=again):
        return sweeping.INTERRUPTED
    result = build(folder, table, whole, wanted)
    if args.json:
        print(
            json.dumps({**result, "wall_clock": {"seconds": round(time.time() - started, 3)}}, indent=1, sort_keys=True)
        )
        return 0
    console = terminal.output()
    cells = [tables.TableCell(**c) for c in result["cells"]]
    if result["stand_ins"]:
        console.print(f"stand-ins, not the real thing: {', '.join(result['stand_ins'])}", highlight=False)
    title = f"table {args.number}: success, {wanted['seeds']} seeds × {wanted['trials']} trials a split"
    console.print(table_formats.for_terminal(table, cells, title))
    console.print(table_formats.NOTE, highlight=False)
    console.print(result["words"], highlight=False, markup=False)
    console.print(
        f"folder: {folder} (table-{args.number}.md, .tex, .csv, .json), {time.time() - started:.0f} s",
        highlight=False,
        soft_wrap=True,
    )
    return 0


def build(folder: Path, table: tables.Table, whole: sweep.Plan, wanted: dict[str, Any]) -> dict[str, Any]:
    """Fills the table from the folder's store and writes every format; the result as plain JSON values."""
    runs = {job.config.run_id for job in whole.jobs}
    with Store(folder, "r") as store:
        found = rates.read(store, trials=whole.trials, runs=runs)
        stand_ins = sorted({s for run in runs for s in store.run(run)[1].get("stand_ins", [])})
        provenance = store.run(min(runs))[1]
    cells = tables.cells(table, found, whole.at[-1])
    tested = findings.findings(table, found, whole.at[-1])
    closing = findings.words(table, tested, cells)
    result = {
        "table": table.number,
        "settings": wanted,
        "cells": tables.as_dicts(cells),
        "missing": {row.name: row.missing for row in table.rows if row.missing},
        "findings": [asdict(f) for f in tested],
        "words": closing,
        "stand_ins": stand_ins,
        "command": provenance.get("command", ""),
    }
    texts = {
        "md": table_formats.markdown(table, cells, closing),
        "tex": table_formats.latex(table, cells, closing),
        "csv": table_formats.comma_separated(cells),
        "json": json.dumps(result, indent=1, sort_keys=True) + "\n",
    }
    for suffix, text in texts.items():
        images.write_text(folder / f"table-{table.number}.{suffix}", text)
    return result

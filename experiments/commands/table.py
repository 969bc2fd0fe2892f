"""``deft table 2``, ``deft table 3``: the paper's tables, ours beside the paper's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from deft_experiments import findings, images, table_formats, tables
from deft_experiments.commands import paper_sweep, sweeping


@dataclass(frozen=True)
class Args(sweeping.SweepArgs):
    """Runs the methods of the paper's table 2 or 3 on the same scenes and sets our success beside the paper's.

    Leaves table-N.md, .tex, .csv and .json in the folder. Both tables and the figures may share one folder (--out):
    what they have in common runs once.

    Attributes:
        number: 2 (methods) or 3 (rewards and policies).
        all_tasks: all nine tasks.
        stand_ins: also rows of what stands in for the paper's networks, under names of their own. Table 2: the small
            affordance network trained on synthetic videos. Table 3: rewards of a small encoder trained on synthetic
            videos, of a random one, and of a success detector trained on synthetic people.
    """

    number: Annotated[Literal[2, 3], tyro.conf.Positional] = tyro.MISSING
    all_tasks: sweeping.Flag = False
    stand_ins: sweeping.Flag = False


def of_settings(wanted: Mapping[str, Any], weights: Mapping[str, Path]) -> tables.Table:
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
    played = paper_sweep.play(args, f"table-{args.number}", of_settings)
    if played is None:
        return sweeping.INTERRUPTED
    result = build(played)

    def say(console: Any) -> None:
        size = played.wanted
        title = f"table {args.number}: success, {size['seeds']} seeds × {size['trials']} trials a split"
        cells = [tables.TableCell(**c) for c in result["cells"]]
        console.print(table_formats.for_terminal(played.what, cells, title))
        console.print(table_formats.NOTE, highlight=False)
        console.print(result["words"], highlight=False, markup=False)

    return paper_sweep.show(played, result, args.json, say, f"table-{args.number}.md, .tex, .csv, .json")


def build(played: paper_sweep.Played) -> dict[str, Any]:
    """Fills the table from the folder's store and writes every format; the result as plain JSON values."""
    table, after = played.what, played.plan.at[-1]
    found, shared = paper_sweep.found(played)
    cells = tables.cells(table, found, after)
    tested = findings.findings(table, found, after)
    closing = findings.words(table, tested, cells)
    result = {
        **shared,
        "table": table.number,
        "cells": tables.as_dicts(cells),
        "missing": {row.name: row.missing for row in table.rows if row.missing},
        "findings": [asdict(f) for f in tested],
        "words": closing,
    }
    texts = {
        "md": table_formats.markdown(table, cells, closing),
        "tex": table_formats.latex(table, cells, closing),
        "csv": table_formats.comma_separated(cells),
        "json": json.dumps(result, indent=1, sort_keys=True) + "\n",
    }
    for suffix, text in texts.items():
        images.write_text(played.folder / f"table-{table.number}.{suffix}", text)
    return result

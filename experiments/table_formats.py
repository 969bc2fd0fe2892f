"""A table as Markdown, LaTeX, CSV, JSON and for the terminal."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any, Final

from deft_env import paper
from deft_env.episode import SPLITS
from deft_experiments.tables import Table, TableCell, as_dicts

NOTE: Final = (
    "Each cell: our success rate [95 % interval over seeds], the paper's successes of ten trials, and p, the "
    "probability of a count as unlikely as the paper's under our distribution over seeds (beta-binomial, two-sided)."
)


def grid(table: Table, cells: Sequence[TableCell]) -> dict[str, dict[tuple[str, str], TableCell]]:
    """Row -> (task, split) -> cell."""
    out: dict[str, dict[tuple[str, str], TableCell]] = {row.name: {} for row in table.rows}
    for cell in cells:
        out[cell.row][cell.task, cell.split] = cell
    return out


def ours(cell: TableCell) -> str:
    """Our rate with its interval; a dash where nothing ran."""
    return "–" if cell.rate is None else f"{cell.rate:.2f} [{cell.low:.2f}, {cell.high:.2f}]"


def probability(p: float) -> str:
    """``p = 0.12``; what would round to zero is said to be below 0.01."""
    return "p < 0.01" if p < 0.005 else f"p = {p:.2f}"


def theirs(cell: TableCell) -> str:
    """The paper's count and the probability between; empty where the paper gives none."""
    if cell.paper is None:
        return ""
    p = "" if cell.paper_p is None else f", {probability(cell.paper_p)}"
    return f"{cell.paper}/{paper.PAPER_TRIALS}{p}"


def in_words(cell: TableCell) -> str:
    """Both in one line."""
    return f"{ours(cell)} ({theirs(cell)})" if theirs(cell) else ours(cell)


def markdown(table: Table, cells: Sequence[TableCell], closing: str = "") -> str:
    """A Markdown table with one line for each row and split, a note and the closing paragraph."""
    rows = grid(table, cells)
    lines = [
        "| method | objects | " + " | ".join(table.tasks) + " |",
        "|---|---|" + "---|" * len(table.tasks),
    ]
    for row in table.rows:
        if row.missing:
            lines.append(
                f"| {row.name} | – | " + " | ".join([f"*{row.missing}*"] + [""] * (len(table.tasks) - 1)) + " |"
            )
            continue
        lines += [
            f"| {row.name} | {split} | " + " | ".join(in_words(rows[row.name][t, split]) for t in table.tasks) + " |"
            for split in SPLITS
        ]
    return "\n".join([*lines, "", NOTE, *(["", closing] if closing else [])]) + "\n"


_LATEX: Final = {"<": "$<$", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "–": "--", "≥": r"$\ge$"}


def _tex(text: str) -> str:
    return re.sub("|".join(map(re.escape, _LATEX)), lambda m: _LATEX[m.group()], text)


def latex(table: Table, cells: Sequence[TableCell], closing: str = "") -> str:
    """A ``tabular`` (needs ``booktabs``), each cell on two lines."""
    rows = grid(table, cells)
    lines = [
        r"\begin{tabular}{ll" + "c" * len(table.tasks) + "}",
        r"\toprule",
        "method & objects & " + " & ".join(table.tasks) + r" \\",
        r"\midrule",
    ]
    for row in table.rows:
        if row.missing:
            lines.append(
                f"{_tex(row.name)} & -- & \\multicolumn{{{len(table.tasks)}}}{{l}}{{{_tex(row.missing)}}} \\\\"
            )
            continue
        for split in SPLITS:
            # The braces keep a leading bracket from being read as an optional argument of the line break before it.
            boxes = [
                rf"\shortstack{{{_tex(ours(c))}\\{{}}{_tex(theirs(c))}}}"
                for c in (rows[row.name][t, split] for t in table.tasks)
            ]
            lines.append(f"{_tex(row.name)} & {split} & " + " & ".join(boxes) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", *(f"% {line}" for line in (NOTE, closing) if line)]
    return "\n".join(lines) + "\n"


def comma_separated(cells: Sequence[TableCell]) -> str:
    """One line a cell, empty fields where there is nothing."""
    rows = as_dicts(cells)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def for_terminal(table: Table, cells: Sequence[TableCell], title: str) -> Any:
    """A rich table: tasks as lines, so that it fits a terminal; what did not run is named below it."""
    from rich.table import Table as Lines

    rows = grid(table, cells)
    out = Lines(title=title, title_justify="left", caption_justify="left", box=None, pad_edge=False)
    for name in ("method", "task", "train", "paper", "test", "paper"):
        out.add_column(name, no_wrap=name != "method")
    for row in table.rows:
        if row.missing:
            out.caption = "\n".join(filter(None, [str(out.caption or ""), f"{row.name}: {row.missing}"]))
            continue
        for task in table.tasks:
            train, test = rows[row.name][task, "train"], rows[row.name][task, "test"]
            texts = [ours(train), theirs(train), ours(test), theirs(test)]
            out.add_row(row.name, task, *(t.replace("[", "\\[") for t in texts))
    return out

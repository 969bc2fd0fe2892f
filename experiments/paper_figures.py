"""The paper's figures 6 and 7: success of policies distilled after 10, 20, 30 episodes, the paper's points beside."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from deft_env import paper, registries
from deft_experiments import paper_results, rates, statistics
from deft_experiments.evaluate import PRIOR_ALONE
from deft_experiments.tables import Row, Table, method

FORMATS: Final = ("png", "pdf", "svg")
SPLIT: Final = "train"
"""The figures' last points are the train column of table 2."""
_COLOURS: Final = {"DEFT": "#1f6fb4", "Real-world only": "#c2571a", "Affordance only": "#555555"}
_COLUMNS: Final = 3


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a curve; ``after`` 0 is the untouched prior."""

    task: str
    row: str
    after: int
    rate: float
    low: float
    high: float
    seeds: int
    paper: float | None


def figure(
    number: int,
    *,
    tasks: Sequence[str] = (),
    all_tasks: bool = False,
    prior: str = "simulated",
    heuristic: str = "heuristic",
) -> Table:
    """The methods and tasks of figure 6 or 7."""
    deft = Row("DEFT", "DEFT", prior=prior)
    alone = Row("Affordance only", "Affordance only", policy=PRIOR_ALONE, prior=prior)
    if number == 6:
        rows, own = (deft, Row("Real-world only", "Real-world only", prior=heuristic)), tuple(paper_results.FIGURE_6)
    elif number == 7:
        rows, own = (deft, alone), tuple(paper_results.FIGURE_7)
    else:
        raise ValueError(f"number: the paper has learning curves in figures 6 and 7, got {number!r}")
    return Table(number, rows, tuple(tasks) or (tuple(registries.TASK_WORDS) if all_tasks else own), {})


def published(number: int, task: str, row: str, after: int) -> float | None:
    """The paper's point; None where it has none."""
    if row == "Affordance only":
        return paper_results.FIGURE_7_AFFORDANCE.get(task) if number == 7 and after == 0 else None
    if after not in paper_results.CURVE_EPISODES:
        return None
    i = paper_results.CURVE_EPISODES.index(after)
    if number == 6:
        points = paper_results.FIGURE_6.get(task, {}).get(row)
        return None if points is None else points[i]
    return paper_results.FIGURE_7[task][i] if row == "DEFT" and task in paper_results.FIGURE_7 else None


def points(wanted: Table, found: rates.Rates, at: Sequence[int]) -> list[Point]:
    """Every point for which something ran."""
    out = []
    for task in wanted.tasks:
        for row in wanted.rows:
            for after in (0,) if row.policy == PRIOR_ALONE else at:
                records = found.get((method(row, after), task, SPLIT), {})
                if records:
                    i = statistics.over_seeds(np.array([records[s].rate for s in sorted(records)]))
                    said = published(wanted.number, task, row.name, after)
                    out.append(Point(task, row.name, after, i.estimate, i.low, i.high, len(records), said))
    return out


def draw(wanted: Table, found: Sequence[Point], at: Sequence[int]) -> dict[str, bytes]:
    """The figure as PNG, PDF and SVG: a panel a task, curves with 95 % bands, the paper's points as hollow squares."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, len(wanted.tasks))
    lines = -(-len(wanted.tasks) // columns)
    picture = Figure(figsize=(3.1 * columns, 2.6 * lines + 0.5), layout="constrained", dpi=150)
    FigureCanvasAgg(picture)
    axes = picture.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axis, task in zip(axes, wanted.tasks, strict=False):
        _panel(axis, wanted, task, found, at)
    for axis in axes[len(wanted.tasks) :]:
        axis.set_visible(False)
    for axis in axes[::columns]:
        axis.set_ylabel("success")
    handles: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    ncols = (1, 2, 4)[columns - 1]
    picture.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=ncols, fontsize=8)
    out = {}
    # Fixed ids and no date: the same points give the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "deft", "pdf.fonttype": 42}):
        for name, metadata in zip(FORMATS, ({"Software": None}, {"CreationDate": None}, {"Date": None}), strict=True):
            buffer = io.BytesIO()
            picture.savefig(buffer, format=name, metadata=metadata)
            out[name] = buffer.getvalue()
    return out


def _panel(axis: Any, wanted: Table, task: str, found: Sequence[Point], at: Sequence[int]) -> None:
    for row in wanted.rows:
        colour = _COLOURS[row.name]
        mine = sorted((p for p in found if p.task == task and p.row == row.name), key=lambda p: p.after)
        if row.policy == PRIOR_ALONE:
            _level(axis, mine, row.name, wanted.number, task, colour)
            continue
        if mine:
            n = [p.after for p in mine]
            axis.plot(n, [p.rate for p in mine], "o-", color=colour, markersize=4, label=f"{row.name}, ours")
            axis.fill_between(n, [p.low for p in mine], [p.high for p in mine], color=colour, alpha=0.18, linewidth=0)
        said = [(a, y) for a in at if (y := published(wanted.number, task, row.name, a)) is not None]
        if said:
            label = f"{row.name}, paper (n = 10)"
            axis.plot(*zip(*said, strict=True), "s--", color=colour, fillstyle="none", linewidth=0.8, label=label)
    axis.set(title=task, ylim=(-0.03, 1.03), xticks=list(at), xlabel="fine-tuning episodes")
    axis.grid(alpha=0.25)


def _level(axis: Any, mine: Sequence[Point], name: str, number: int, task: str, colour: str) -> None:
    for p in mine:
        axis.axhline(p.rate, color=colour, linewidth=1.2, label=f"{name}, ours")
        axis.axhspan(p.low, p.high, color=colour, alpha=0.10, linewidth=0)
    said = published(number, task, name, 0)
    if said is not None:
        axis.axhline(said, color=colour, linewidth=0.8, linestyle="--", label=f"{name}, paper (n = 10)")


def markdown(found: Sequence[Point]) -> str:
    """The figure's numbers as a Markdown table: success [95 %], the paper's successes in brackets."""
    at = sorted({p.after for p in found})
    lines = ["| task | method | " + " | ".join(f"after {n}" if n else "untouched" for n in at) + " |"]
    lines.append("|---" * (len(at) + 2) + "|")
    for place in dict.fromkeys((p.task, p.row) for p in found):
        cells = {p.after: _cell(p) for p in found if (p.task, p.row) == place}
        lines.append("| " + " | ".join([*place, *(cells.get(n, "") for n in at)]) + " |")
    return "\n".join(lines) + "\n"


def _cell(p: Point) -> str:
    said = "" if p.paper is None else f" ({round(p.paper * paper.PAPER_TRIALS)}/{paper.PAPER_TRIALS})"
    return f"{p.rate:.2f} [{p.low:.2f}, {p.high:.2f}]{said}"


def as_dicts(found: Sequence[Point]) -> list[Mapping[str, Any]]:
    """Plain JSON values."""
    return [asdict(p) for p in found]

"""The report of a sweep: curves, profiles, residuals, cost, films, tables; and the numbers behind it."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deft_agents import split_name
from deft_env import grasp, paper
from deft_env.episode import SPLITS
from deft_experiments import comparing, cost, rates, report_page, summary, sweep_figures, terminal
from deft_experiments.evaluate import PRIOR_ALONE
from deft_experiments.report_page import image, table
from deft_experiments.store import Store

WINDOW: Final = paper.WARMUP_EPISODES
_EVALUATION_NOTE: Final = (
    "95 % intervals over seeds; the paper: 10 real trials, p: probability of a count as unlikely as the paper's under "
    "our distribution over seeds"
)


def page(store: Store, folder: Path) -> str:
    """The whole page of a store with several runs."""
    cells = summary.cells(store)
    runs = store.runs()
    provenance = store.run(runs[0])[1]
    stand_ins = sorted({s for run in runs for s in store.run(run)[1].get("stand_ins", [])})
    commands = dict.fromkeys(str(store.run(run)[1].get("command", "")) for run in runs)
    rows = store.rows(
        "SELECT task, agent, prior, reward_name, count(DISTINCT run) AS runs, count(*) AS episodes,"
        " avg(success) AS success FROM episodes GROUP BY task, agent, prior, reward_name ORDER BY 1, 2, 3, 4"
    )
    head = ("task", "agent", "prior", "reward", "runs", "episodes", "fine-tuning success")
    training = [[r[n] for n in ("task", "agent", "prior", "reward_name", "runs", "episodes")] for r in rows]
    for line, row in zip(training, rows, strict=True):
        line.append("–" if row["success"] is None else f"{row['success']:.2f}")
    sections = [
        ("Summary", _best(cells)),
        ("Learning curves", "".join(_curves(cells))),
        ("Performance profiles", _profiles(store)),
        ("Evaluation", _evaluation(cells)),
        ("Residuals", _residuals(store)),
        ("Cost", _cost(store)),
        ("Films", _films(folder)),
        ("Fine-tuning episodes", table(head, training, "all episodes of all runs")),
        ("Commands", f"<pre>{html.escape(chr(10).join(c for c in commands if c))}</pre>"),
        ("Environment", report_page.environment({k: v for k, v in provenance.items() if k != "command"})),
    ]
    return report_page.page("DEFT: sweep", sections, stand_ins)


def _best(cells: Sequence[summary.Cell]) -> str:
    best = [
        f"{task}: {_name(top)} {terminal.percent(asdict(top))} on test objects."
        for task in sorted({c.task for c in cells})
        if (top := max((c for c in cells if c.task == task and c.split == "test"), key=_rate, default=None))
    ]
    said = " ".join(best)
    return f"<p>Highest test success by task (no correction for the choice): {html.escape(said)}</p>" if best else ""


def _rate(cell: summary.Cell) -> float:
    return cell.success_rate


def _name(cell: summary.Cell) -> str:
    """The agent, with prior and reward where they are not as usual."""
    usual = cell.prior == "simulated", cell.reward in ("", "oracle")
    return ", ".join(
        [
            terminal.agent_name(asdict(cell)),
            *(w for w, u in zip((cell.prior, cell.reward), usual, strict=True) if not u),
        ]
    )


def _curves(cells: Sequence[summary.Cell]) -> list[str]:
    out = []
    names = list(dict.fromkeys(_name(c) for c in cells if c.policy != PRIOR_ALONE and c.split == "train"))
    for task in sorted({c.task for c in cells}):
        alone = {c.prior: c for c in cells if c.task == task and c.policy == PRIOR_ALONE and c.split == "train"}
        named: dict[str, list[tuple[int, float, float, float]]] = {}
        for c in cells:
            if c.task == task and c.policy != PRIOR_ALONE and c.split == "train":
                if _name(c) not in named:
                    zero = alone.get(c.prior)
                    named[_name(c)] = [(0, zero.success_rate, zero.low, zero.high)] if zero else []
                named[_name(c)].append((c.after, c.success_rate, c.low, c.high))
        if named:
            picture = sweep_figures.curves(named, f"{task}, train objects", names)
            out.append(image(picture, f"{task}: success by episodes, 95 % bands over seeds; above: a person's minutes"))
    return ['<div class="grid">', *out, "</div>"] if out else []


def _evaluation(cells: Sequence[summary.Cell]) -> str:
    return report_page.evaluation([asdict(c) for c in cells], _EVALUATION_NOTE) if cells else ""


def _profiles(store: Store) -> str:
    """Share of runs above each level, of every method that ran on the most tasks after the most episodes."""
    found = rates.read(store)
    last = max((place[0].after for place in found), default=0)
    methods = sorted({m for m, _, _ in found if m.after in (0, last)}, key=str)
    tasks = {m: {t for of, t, _ in found if of == m} for m in methods}
    widest = max((len(t) for t in tasks.values()), default=0)
    profiles = {}
    for m in methods:
        if len(tasks[m]) == widest:
            (of,), seeds = comparing.scores(found, {_method(m): m}, sorted(tasks[m]), SPLITS)
            if seeds:
                profiles[of.name] = comparing.performance_profile(of)
    if not profiles:
        return ""
    caption = (
        f"share of runs (task, seed) with at least this success after {last} episodes, train and test objects "
        f"together, over {widest} task(s)"
    )
    return image(sweep_figures.profiles(profiles, comparing.LEVELS), caption)


def _method(m: rates.Method) -> str:
    name = "prior alone" if m.policy == PRIOR_ALONE else f"{m.search}+{m.policy}"
    unusual = [w for w, usual in ((m.prior, "simulated"), (m.reward or "oracle", "oracle")) if w != usual]
    return ", ".join([name, *unusual])


def residual_course(store: Store) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Search -> group -> (episodes, 2): distance of the mean of the last ten residuals from 0, and their spread.

    Both in sigma, root mean square over the group's coordinates, mean over runs; the first rows, with fewer than ten
    episodes behind them, are of what there is.
    """
    by_search: dict[str, list[NDArray[np.float64]]] = {}
    for run in store.runs():
        config = store.run(run)[0]
        rows = store.rows("SELECT residual FROM episodes WHERE run = ? ORDER BY k", (run,))
        z = np.array([json.loads(r["residual"]) for r in rows if r["residual"]], dtype=np.float64)
        if len(z) > 1:
            prior = "" if config["prior"] == "simulated" else f", {config['prior']}"
            by_search.setdefault(split_name(config["agent"])[0] + prior, []).append(z / grasp.SIGMA)
    out: dict[str, dict[str, NDArray[np.float64]]] = {}
    for search, of in by_search.items():
        length = min(map(len, of))
        stack = np.array([z[:length] for z in of])
        out[search] = {}
        for name, group in grasp.GROUPS.items():
            course = []
            for k in range(2, length + 1):
                part = stack[:, max(0, k - WINDOW) : k, group]
                course.append((_rms(part.mean(axis=1)), _rms(part.std(axis=1))))
            out[search][name] = np.array(course)
    return out


def _rms(x: NDArray[np.float64]) -> float:
    return float(np.sqrt((x**2).mean(axis=1)).mean())


def _residuals(store: Store) -> str:
    course = residual_course(store)
    if not course:
        return ""
    caption = (
        "residuals of the last ten episodes by group, in sigma, mean over runs: how far their mean has moved from the "
        "prior (solid), and how far they spread (dashed)"
    )
    return image(sweep_figures.residuals(course), caption)


def _cost(store: Store) -> str:
    groups: dict[tuple[str, str], list[str]] = {}
    for row in store.rows("SELECT run, agent, prior FROM runs ORDER BY run"):
        groups.setdefault((split_name(row["agent"])[0], row["prior"]), []).append(row["run"])
    lines: list[Sequence[object]] = []
    modelled = True
    for (search, prior), runs in sorted(groups.items()):
        c = cost.cost(store, runs)
        modelled &= c.modelled
        numbers = (c.episodes, c.resets, c.operator_s / 60, c.robot_s, c.aborts, c.collisions, c.unreachable)
        lines.append((search, prior, c.runs, *(f"{x:.1f}" for x in numbers)))
    how = "modelled with two minutes of a person a trial" if modelled else "measured on the real rig"
    head = (
        "search",
        "prior",
        "runs",
        "episodes",
        "resets",
        "operator min",
        "robot s",
        "aborts",
        "collisions",
        "unreachable",
    )
    return table(head, lines, f"mean of a run's fine-tuning; times {how}")


def _films(folder: Path) -> str:
    out = []
    for path in sorted((folder / "strips").glob("*.png")):
        name = path.stem.replace("-", ", ")
        out.append(image(path.read_bytes(), name))
    return "".join(out)


def films_of(store: Store) -> list[dict[str, Any]]:
    """The episodes worth a film: of each task the best rewarded one, and the last one that failed."""
    out = []
    for task in [row["task"] for row in store.rows("SELECT DISTINCT task FROM runs ORDER BY task")]:
        for name, order in (
            ("best", "success = 1 ORDER BY reward DESC, k DESC, run"),
            ("failed", "success = 0 ORDER BY k DESC, run"),
        ):
            rows = store.rows(f"SELECT * FROM episodes WHERE task = ? AND rig != 'real' AND {order} LIMIT 1", (task,))
            out += [{"name": name, **row} for row in rows]
    return out

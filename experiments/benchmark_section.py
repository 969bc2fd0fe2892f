"""The optimizer benchmark on the results page: ranking, learning curves over all tasks, task by task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deft_env import paper, registries
from deft_experiments import comparing, images, leaderboard, leaderboard_lines, rates, statistics, sweep_figures
from deft_experiments.evaluate import PRIOR_ALONE
from deft_experiments.store import FILE_NAME, Store

PICTURE: Final = "benchmark"
DEFT: Final = rates.Method("cem", "cvae", "simulated", "oracle", paper.EPISODES)
PRIOR: Final = rates.Method("", PRIOR_ALONE, "simulated", "", 0)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What a sweep's store holds of agents that can be compared.

    Attributes:
        found: success by seed.
        agents: methods after the last mark, best first.
        marks: numbers of fine-tuning episodes after which policies were evaluated.
        tasks: tasks that every agent finished, in the paper's order.
        unfinished: the others.
        splits: the objects.
    """

    found: rates.Rates
    agents: tuple[rates.Method, ...]
    marks: tuple[int, ...]
    tasks: tuple[str, ...]
    unfinished: tuple[str, ...]
    splits: tuple[str, ...]


def read(path: Path, tasks: Sequence[str] = ()) -> Benchmark | None:
    """Reads a store; None if no two seeds of any task are complete for every agent in it."""
    splits = leaderboard.evaluated_splits([path])
    with Store(path, "r") as store:
        found = rates.read(store)
    agents = {place[0] for place in found if place[0].after == paper.EPISODES}
    there = {place[1] for place in found}
    known = list(registries.TASK_WORDS)
    wanted = list(tasks) or [t for t in known if t in there] + sorted(there.difference(known))
    # An agent that ran on a task or two must not take all others out of the comparison.
    most = max((_breadth(found, m) for m in agents), default=0)
    agents = {m for m in agents if 2 * _breadth(found, m) >= most}
    complete = tuple(t for t in wanted if len(_seeds(found, agents, [t], splits)) > 1)
    if not complete:
        return None
    marks = tuple(sorted({place[0].after for place in found if place[0].policy != PRIOR_ALONE}))
    seeds = _seeds(found, agents, complete, splits)
    if len(seeds) < 2:
        return None

    def level(m: rates.Method) -> float:
        return float(comparing.scores(found, {"": m}, complete, splits)[0][0].values.mean())

    ranked = tuple(sorted(agents, key=lambda m: (-level(m), name(m))))
    return Benchmark(found, ranked, marks, complete, tuple(t for t in wanted if t not in complete), splits)


def _breadth(found: rates.Rates, m: rates.Method) -> int:
    return len({place[1] for place in found if place[0] == m})


def _seeds(found: rates.Rates, agents: set[rates.Method], tasks: Sequence[str], splits: Sequence[str]) -> list[int]:
    places = [(m, t, s) for m in agents for t in tasks for s in splits]
    return sorted(set.intersection(*(set(found.get(place, {})) for place in places))) if places else []


def name(m: rates.Method) -> str:
    """As one would type it, ``deft`` for the paper's own."""
    if m.policy == PRIOR_ALONE:
        return "prior alone"
    return "deft" if (m.search, m.policy) == (DEFT.search, DEFT.policy) else f"{m.search}+{m.policy}"


def pooled(of: Benchmark, m: rates.Method, after: int) -> NDArray[np.float64]:
    """(seeds,) mean success over tasks and splits of a policy after so many episodes; empty if it was not evaluated."""
    at = m if m.policy == PRIOR_ALONE else replace(m, after=after)
    seeds = _seeds(of.found, {at, *of.agents}, of.tasks, of.splits)
    cube = [[of.found[at, t, s][seed].rate for t in of.tasks for s in of.splits] for seed in seeds]
    return np.array(cube, dtype=np.float64).mean(axis=1) if seeds else np.zeros(0)


def curves(of: Benchmark) -> dict[str, list[tuple[int, float, float, float]]]:
    """Agent -> (episodes, mean, low, high), 95 % intervals over seeds."""
    out: dict[str, list[tuple[int, float, float, float]]] = {}
    for m in of.agents:
        for after in of.marks:
            values = pooled(of, m, after)
            if len(values):
                i = statistics.over_seeds(values)
                out.setdefault(name(m), []).append((after, i.estimate, i.low, i.high))
    return out


def _first(of: Benchmark, m: rates.Method) -> tuple[str, str]:
    """First mark at DEFT's level after all episodes, and first that is clearly above it (paired, 95 %)."""
    level = pooled(of, DEFT, paper.EPISODES)
    reached = clearly = "–"
    for after in reversed(of.marks):
        values = pooled(of, m, after)
        if len(values) != len(level) or not len(level):
            continue
        d = statistics.t_interval(values - level)
        reached = str(after) if d.estimate >= 0 else reached
        clearly = str(after) if d.low > 0 else clearly
    return reached, clearly


def _course(of: Benchmark) -> list[str]:
    head = ("agent", *(f"after {n}" for n in of.marks), "first at `deft`'s level", "first clearly above")
    lines = ["| " + " | ".join(head) + " |"]
    lines.append("|---" * (len(of.marks) + 3) + "|")
    drawn = curves(of)
    for m in of.agents:
        at = {n: f"{y:.3f}" for n, y, _, _ in drawn[name(m)]}
        own = name(m) == "deft"
        first = (str(paper.EPISODES), "–") if own else _first(of, m)
        lines.append("| " + " | ".join([f"`{name(m)}`", *(at.get(n, "–") for n in of.marks), *first]) + " |")
    return lines


def _by_task(of: Benchmark) -> list[str]:
    shown = [PRIOR, *of.agents]
    lines = ["| task | seeds × trials | " + " | ".join(f"`{name(m)}`" for m in shown) + " |"]
    lines.append("|---" * (len(shown) + 2) + "|")
    for task in of.tasks:
        one = replace(of, tasks=(task,))
        deft = pooled(one, DEFT, paper.EPISODES)
        trials = min(r.trials for m in of.agents for s in of.splits for r in of.found[m, task, s].values())
        row = [task, f"{len(_seeds(of.found, set(of.agents), [task], of.splits))} × {trials}"]
        for m in shown:
            values = pooled(one, m, paper.EPISODES)
            if not len(values):
                row.append("–")
                continue
            i = statistics.over_seeds(values)
            mark = ""
            if name(m) not in ("deft", "prior alone") and len(deft) == len(values):
                d = statistics.t_interval(values - deft)
                mark = " \\*" if d.low > 0 else " †" if d.high < 0 else ""
            row.append(f"{i.estimate:.2f} [{i.low:.2f}, {i.high:.2f}]{mark}")
        lines.append("| " + " | ".join(row) + " |")
    return lines


def section(folder: Path, docs: Path, tasks: Sequence[str] = ()) -> str:
    """The section in Markdown, its picture written beside the page; empty without a store or a finished task."""
    path = folder / FILE_NAME
    of = read(path, tasks) if path.is_file() else None
    if of is None:
        return ""
    drawn = curves(of)
    alone = pooled(of, PRIOR, 0)
    if len(alone):
        i = statistics.over_seeds(alone)
        drawn["prior alone"] = [(0, i.estimate, i.low, i.high)]
    many = f"{len(of.tasks)} tasks" if len(of.tasks) > 1 else of.tasks[0]
    objects = leaderboard_lines.objects(of.splits)
    images.write_bytes(docs / "images" / f"{PICTURE}.png", sweep_figures.curves(drawn, f"{many}, {objects}"))
    entries = leaderboard.build([path], tasks=of.tasks, splits=of.splits).entries
    head, ranking = leaderboard_lines.brief(entries)
    rows = ["| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *ranking)]
    seeds = len(_seeds(of.found, set(of.agents), of.tasks, of.splits))
    caption = f"Success by fine-tuning episodes, mean over {many}, {objects}, {seeds} seeds; 95 % bands over seeds."
    out = [
        f"Mean over {', '.join(of.tasks)}; {objects}; every agent meets the same scenes, and agents with the same "
        f"search share its episodes. Success after {paper.EPISODES} episodes with its 95 % interval over seeds; "
        "− DEFT: paired difference on the same scenes, p after Holm's correction over the table.",
        "",
        *rows,
        "",
        f"![{caption}](images/{PICTURE}.png)",
        "",
        caption,
        "",
        "Numbers of the picture, and the first of these counts of episodes at which the mean is at least that of "
        f"`deft` after {paper.EPISODES}, or clearly above it (paired 95 % interval):",
        "",
        *_course(of),
        "",
        f"Success after {paper.EPISODES} episodes, task by task, 95 % intervals over seeds; \\* the paired 95 % "
        "interval of the difference to `deft` is above zero, † below (not corrected for the number of cells).",
        "",
        *_by_task(of),
    ]
    if of.unfinished:
        out += ["", f"Not in it, since not every agent has finished two seeds of them: {', '.join(of.unfinished)}."]
    return "\n".join(out)

"""The evidence that every task can be learned, as one page: ``python -m deft_experiments.evidence``.

For each task, on 20 seeds x 20 trials a split: the reference grasp, the prior alone, policies distilled by DEFT after
10, 20 and 30 episodes beside the paper's curve, random search after 30; the scores of episodes 1-10 and 21-30; and
success against the size of a random residual, by group of coordinates. The sweeps behind it are ordinary folders of
`deft bench` and resume where they stopped; a page written again from finished sweeps costs the sensitivity alone.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import tyro

from deft_env import registries
from deft_env.episode import EpisodeKey
from deft_env.rigs.simulated import SimulatedRig
from deft_experiments import paper_results, sensitivity, statistics, summary
from deft_experiments.commands.bench import PLAN_FILE
from deft_experiments.evaluate import PRIOR_ALONE
from deft_experiments.images import write_atomically
from deft_experiments.store import Store

AGENTS: Final = {"deft": ("deft,cem+elite-mean", (10, 20, 30)), "random": ("random+best-seen", (30,))}
"""Sweep -> its agents, and the episodes after which policies are evaluated."""
GAINS: Final = {"cvae": "DEFT, cVAE", "elite-mean": "CEM, elite mean"}


@dataclass(frozen=True)
class Args:
    """Plays what is missing and writes the page.

    Attributes:
        tasks: tasks; none for all nine.
        seeds: runs.
        trials: evaluation trials a run and split.
        folder: where the sweeps lie.
        out: the page.
        workers: processes of a sweep.
        scenes: scenes a cell of the sensitivity; 0 leaves it out.
    """

    tasks: tyro.conf.Positional[tuple[str, ...]] = field(default=())
    seeds: int = 20
    trials: int = 20
    folder: Path = Path("runs/evidence")
    out: Path = Path("docs/tasks-evidence.md")
    workers: int = 2
    scenes: int = 60


def sweep(args: Args, task: str, name: str) -> Path:
    """Runs or resumes one sweep through the command that a user would type; returns its folder."""
    agents, at = AGENTS[name]
    folder = args.folder / f"{name}-{task}"
    command = [sys.executable, "-m", "deft_experiments.cli", "bench", "--workers", str(args.workers)]
    if (folder / PLAN_FILE).exists():
        command += ["--resume", str(folder)]
    else:
        command += ["--agents", agents, "--tasks", task, "--seeds", str(args.seeds)]
        command += ["--trials", str(args.trials), "--eval-at", *map(str, at), "--out", str(folder)]
    subprocess.run(command, check=True)
    return folder


def _reference(task: str, split: str, seeds: int, trials: int) -> list[float]:
    """Success of the reference grasp, by seed, on the evaluation scenes."""
    keys = [EpisodeKey(task, split, "eval", s, k) for s in range(seeds) for k in range(trials)]
    with SimulatedRig(film=False) as rig:
        outcomes = sensitivity.outcomes_at(rig, task, keys, np.zeros((len(keys), 22)))
    good = np.array([bool(o.success) for o in outcomes], dtype=np.float64)
    return [float(rate) for rate in good.reshape(seeds, trials).mean(axis=1)]


def _sensitivity(task: str, scenes: int) -> dict[str, list[tuple[float, float]]]:
    with SimulatedRig(film=False) as rig:
        return sensitivity.by_group(rig, task, "train", scenes)


def _kept(args: Args, task: str, name: str, measure: Callable[[], Any]) -> Any:
    """A figure of a task that is measured once and kept beside the sweeps."""
    path = args.folder / f"{task}-{name}.json"
    if not path.exists():
        data = json.dumps(measure())
        write_atomically(path, lambda file: file.write(data.encode()))
    return json.loads(path.read_text(encoding="utf-8"))


def gain(store: Store, task: str, split: str, policy: str, after: int = 30) -> str:
    """Success of a policy after so many episodes minus that of the prior alone, paired by seed."""
    found = {
        name: store.rows(
            "SELECT seed, avg(success_rate) AS rate FROM evaluations"
            " WHERE task = ? AND split = ? AND policy = ? AND after = ? GROUP BY seed ORDER BY seed",
            (task, split, name, at),
        )
        for name, at in ((policy, after), (PRIOR_ALONE, 0))
    }
    mine, prior = (np.array([row["rate"] for row in found[name]]) for name in (policy, PRIOR_ALONE))
    if len(mine) < 2 or len(mine) != len(prior):
        return "–"
    difference = statistics.paired(mine, prior).difference
    return f"{difference.estimate:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}]"


def cell_text(cell: summary.Cell | None) -> str:
    """A success rate with its interval; a dash where there is none."""
    return "–" if cell is None else f"{cell.success_rate:.2f} [{cell.low:.2f}, {cell.high:.2f}]"


def _paper(task: str, after: int, split: str) -> str:
    if after == 0:
        rate = paper_results.published(task, "Affordance only", "train")
    elif split == "test":
        rate = paper_results.published(task, "DEFT", "test") if after == 30 else None
    else:
        curve = paper_results.FIGURE_6.get(task, {}).get("DEFT") or paper_results.FIGURE_7.get(task)
        rate = None if curve is None else curve[(10, 20, 30).index(after)]
    return "–" if rate is None else f"{rate:.1f}"


def page_of(
    task: str, cells: list[summary.Cell], scores: dict[str, Any], gains: dict[tuple[str, str], str], args: Args
) -> list[str]:
    """The section of one task."""
    mine = {(c.policy, c.search, c.after, c.split): c for c in cells if c.task == task}
    lines = [f"## {task}", "", "| what | train | paper | test | paper |", "|---|---|---|---|---|"]
    parts = []
    for split in ("train", "test"):
        measured = functools.partial(_reference, task, split, args.seeds, args.trials)
        rates = np.array(_kept(args, task, f"reference-{split}", measured))
        interval = statistics.t_interval(rates) if len(rates) > 1 else None
        span = "" if interval is None else f" [{max(0.0, interval.low):.2f}, {min(1.0, interval.high):.2f}]"
        parts.append(f"{rates.mean():.2f}{span}")
    lines.append(f"| reference grasp | {parts[0]} | – | {parts[1]} | – |")
    rows = [("prior alone", PRIOR_ALONE, "", 0)]
    rows += [(f"DEFT, cVAE, after {n}", "cvae", "cem", n) for n in (10, 20, 30)]
    rows += [(f"CEM, elite mean, after {n}", "elite-mean", "cem", n) for n in (10, 20, 30)]
    rows.append(("random search, best seen, after 30", "best-seen", "random", 30))
    for label, policy, search, after in rows:
        paper = {s: _paper(task, after, s) if policy in (PRIOR_ALONE, "cvae") else "–" for s in ("train", "test")}
        train, test = mine.get((policy, search, after, "train")), mine.get((policy, search, after, "test"))
        lines.append(f"| {label} | {cell_text(train)} | {paper['train']} | {cell_text(test)} | {paper['test']} |")
    lines += ["", "After 30 episodes minus the prior alone, paired by seed:", ""]
    lines += [f"* {label}: train {gains[p, 'train']}, test {gains[p, 'test']}" for p, label in GAINS.items()]
    lines += ["", f"Score while fine-tuning: episodes 1–10 {scores['early']}, 21–30 {scores['late']}.", ""]
    if args.scenes:
        table = _kept(args, task, "sensitivity", functools.partial(_sensitivity, task, args.scenes))
        head = " | ".join(f"{s:g} σ" for s in sensitivity.SIZES)
        lines += [
            f"Success (score) of the reference grasp under random residuals N(0, (sσ)²), {args.scenes} scenes a cell:",
            "",
            f"| group | {head} |",
            "|---" * (len(sensitivity.SIZES) + 1) + "|",
        ]
        lines += [f"| {g} | " + " | ".join(f"{s:.2f} ({v:.2f})" for s, v in row) + " |" for g, row in table.items()]
        lines.append("")
    return lines


def _scores(store: Store, task: str) -> dict[str, str]:
    rows = store.rows(
        "SELECT seed, avg(CASE WHEN k < 10 THEN score END) AS early, avg(CASE WHEN k >= 20 THEN score END) AS late"
        " FROM episodes WHERE task = ? GROUP BY seed ORDER BY seed",
        (task,),
    )
    out = {}
    for name in ("early", "late"):
        values = np.array([row[name] for row in rows], dtype=np.float64)
        interval = statistics.t_interval(values) if len(values) > 1 else None
        out[name] = f"{values.mean():.2f}" + ("" if interval is None else f" [{interval.low:.2f}, {interval.high:.2f}]")
    return out


def _write(file: IO[bytes], lines: list[str]) -> None:
    file.write(("\n".join(lines) + "\n").encode())


def main(args: Args) -> None:
    """Plays what is missing and writes the page."""
    scores: dict[str, str] = {}
    gains: dict[tuple[str, str], str] = {}
    tasks = args.tasks or tuple(registries.TASK_WORDS)
    lines = [
        "# Evidence: every task can be learned",
        "",
        f"Success rates on {args.seeds} seeds × {args.trials} trials a split, the same scenes for every row, with 95 %",
        "t intervals over seeds. Simulated prior and oracle reward: stand-ins, see",
        "`docs/tasks.md`. Paper: Table 2 and the curves of figures 6 and 7 (10 trials a cell). Made by",
        "`python -m deft_experiments.evidence`.",
        "",
    ]
    for task in tasks:
        cells: list[summary.Cell] = []
        for name in AGENTS:
            with Store(sweep(args, task, name), "r") as store:
                cells += summary.cells(store)
                if name == "deft":
                    scores = _scores(store, task)
                    gains = {(p, s): gain(store, task, s, p) for p in GAINS for s in ("train", "test")}
        lines += page_of(task, cells, scores, gains, args)
        # Written after every task: an interrupted measurement leaves what it has.
        write_atomically(args.out, functools.partial(_write, lines=lines))
        print(f"{task}: done -> {args.out}", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Args))

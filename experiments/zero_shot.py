"""How good priors are as they are: zero-shot success per task and split, compared on the same scenes.

``python -m deft_experiments.zero_shot`` (or ``deft affordance-check``) executes each prior's grasp without any
fine-tuning and writes JSON and a Markdown page. Cells that the JSON already holds, of the same scenes and the same
weights, are not played again: remove the file after a change of code. A scene in which a prior sees nothing counts as
no success.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import tyro

from deft_env import grasp
from deft_env.episode import SPLITS, EpisodeKey
from deft_env.registries import TASK_WORDS, priors, takes_weights
from deft_experiments import config as cfg
from deft_experiments import statistics
from deft_experiments.errors import UsageError
from deft_experiments.images import write_atomically

FORMAT: Final = "deft-zero-shot-1"
ROLE: Final = "eval"


@dataclass(frozen=True)
class Args:
    """Zero-shot success of priors: each grasp is executed as it is, on the same scenes for every prior.

    Attributes:
        tasks: tasks; none for all nine.
        priors: priors; the first is compared with each of the others.
        splits: train (the objects of fine-tuning), test (others), or both.
        scenes: scenes a cell.
        seed: of the scenes.
        weights: NAME=PATH; the shipped network without any.
        out: JSON file, read first and continued.
        page: Markdown page to write as well.
        json: print the JSON instead of the table.
    """

    tasks: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[TASK ...]")] = ()
    priors: tuple[str, ...] = ("affordance", "heuristic", "simulated")
    splits: tuple[str, ...] = SPLITS
    scenes: int = 30
    seed: int = 77
    weights: tuple[str, ...] = ()
    out: Path = Path("runs/zero-shot.json")
    page: Path | None = None
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False


@dataclass(frozen=True, slots=True)
class Cell:
    """One prior on one split of a task.

    Attributes:
        success: per scene; score: likewise, the judge's rubric.
        unseen: scenes in which the prior saw nothing; unreachable: in which the arm could not play the path.
        seconds: of the prior, per scene (segmentation, network, geometry; rendering included).
    """

    success: tuple[bool, ...]
    score: tuple[float, ...]
    unseen: int
    unreachable: int
    seconds: float


def measure(
    task_name: str, split: str, prior_name: str, scenes: int, seed: int, weights: Mapping[str, Path] | None = None
) -> Cell:
    """Plays one cell on the simulated rig; the scenes are those of ``EpisodeKey(task, split, "eval", seed, k)``."""
    from deft_env.prior.prior import PriorFailureError
    from deft_env.registries import make_prior, make_rig, make_task

    prior = make_prior(prior_name, weights=weights)
    keys = [EpisodeKey(task_name, split, ROLE, seed, k) for k in range(scenes)]
    success, score = np.zeros(scenes, dtype=bool), np.zeros(scenes)
    seen, xi = [], np.zeros((scenes, grasp.DIM))
    with make_rig("simulated", {"film": False}) as rig:
        task = make_task(task_name, rig)
        begun = time.perf_counter()
        for i, key in enumerate(keys):
            try:
                xi[i] = prior(rig.reset_batch([key]), task)[0]
            except PriorFailureError:
                continue
            seen.append(i)
        seconds = (time.perf_counter() - begun) / scenes
        unreachable = 0
        if seen:
            rig.reset_batch([keys[i] for i in seen])
            for i, outcome in zip(seen, rig.execute_batch(xi[seen], [task.demonstration] * len(seen)), strict=True):
                success[i], score[i] = outcome.success is True, outcome.score or 0.0
                unreachable += not outcome.signals
    return Cell(tuple(success.tolist()), tuple(score.tolist()), scenes - len(seen), unreachable, seconds)


def _name(task: str, split: str, prior: str, weights: str) -> str:
    return f"{task}/{split}/{prior}/{weights or 'built-in'}"


def _weights_of(prior: str, weights: Mapping[str, Path]) -> str:
    """What tells cells of different weights apart: the hash of the file that the prior reads."""
    if not takes_weights(priors, prior):
        return ""
    from deft_env.prior.affordance import weights_file

    return cfg.file_hash(weights_file(weights))[:12]


def _read(path: Path, args: Args) -> dict[str, Any]:
    fresh: dict[str, Any] = {"format": FORMAT, "scenes": args.scenes, "seed": args.seed, "cells": {}}
    if not path.exists():
        return fresh
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--out {path}: not a file of this command ({error}); take another name") from None
    same = isinstance(found, dict) and all(found.get(k) == fresh[k] for k in ("format", "scenes", "seed"))
    if not same or not isinstance(found.get("cells"), dict):
        raise UsageError(f"--out {path}: it holds other scenes (or something else); take another name, or remove it")
    return found


def check(args: Args) -> tuple[str, ...]:
    """The tasks to play.

    Raises:
        UsageError: for names that are not known, or numbers out of range.
    """
    names = args.tasks or tuple(TASK_WORDS)
    wrong = [f"unknown task {t!r}" for t in names if t not in TASK_WORDS]
    wrong += [f"unknown prior {p!r}" for p in args.priors if p not in priors.names()]
    wrong += [f"unknown split {s!r}" for s in args.splits if s not in SPLITS]
    if args.scenes < 2:
        wrong.append(f"--scenes: expected at least 2, got {args.scenes}")
    if not args.priors:
        wrong.append("--priors: expected at least one name")
    if wrong:
        raise UsageError("; ".join(wrong))
    return names


def table(cells: Mapping[str, Cell], tasks: Sequence[str], splits: Sequence[str], names: Sequence[str]) -> list[str]:
    """Markdown rows: success of each prior, and the difference of the first to each other with a paired t interval.

    Args:
        cells: ``task/split/prior`` -> cell; rows of cells that are missing are left out.
        tasks: in the order of the rows.
        splits: likewise.
        names: priors.
    """
    first, *rest = names
    lines = ["| task | split | " + " | ".join([*names, *(f"{first} − {p} (95 %)" for p in rest)]) + " |"]
    lines.append("|" + "---|" * (2 + len(names) + len(rest)))
    for task in tasks:
        for split in splits:
            row = [cells.get(f"{task}/{split}/{p}") for p in names]
            found = [cell for cell in row if cell is not None]
            if len(found) < len(row):
                continue
            texts = [f"{np.mean(c.success):.2f}" for c in found]
            for other in found[1:]:
                d = statistics.paired(
                    np.asarray(found[0].success, dtype=np.float64), np.asarray(other.success, dtype=np.float64)
                ).difference
                mark = "**" if d.low > 0.0 else ""
                texts.append(f"{mark}{d.estimate:+.2f} [{d.low:+.2f}, {d.high:+.2f}]{mark}")
            lines.append(f"| {task} | {split} | " + " | ".join(texts) + " |")
    return lines


def better(cells: Mapping[str, Cell], tasks: Sequence[str], split: str, first: str, other: str) -> list[str]:
    """Tasks on which ``first`` is above ``other`` with a paired 95 % interval that excludes zero."""
    out = []
    for task in tasks:
        a, b = cells.get(f"{task}/{split}/{first}"), cells.get(f"{task}/{split}/{other}")
        if a is not None and b is not None:
            x, y = (np.asarray(c.success, dtype=np.float64) for c in (a, b))
            if statistics.paired(x, y).difference.low > 0.0:
                out.append(task)
    return out


def page(cells: Mapping[str, Cell], args: Args, tasks: Sequence[str], hashes: Mapping[str, str]) -> str:
    """The Markdown page."""
    first = args.priors[0]
    files = ", ".join(f"{p}: weights {h}…" for p, h in hashes.items() if h) or "no weights"
    lines = [
        "# Zero-shot success of priors",
        "",
        f"{args.scenes} scenes a cell (seed {args.seed}, role {ROLE}), the same for every prior, each grasp executed",
        "as it is, no fine-tuning; differences with paired t intervals, bold where they exclude zero from below, not",
        f"corrected for the number of tasks. {files}. `simulated` is a stand-in: the",
        "reference grasp with a calibrated error. Seconds include rendering, on whatever machine this was. Written by",
        "`python -m deft_experiments.zero_shot`.",
        "",
        *table(cells, tasks, args.splits, args.priors),
        "",
    ]
    for other in args.priors[1:]:
        for split in args.splits:
            found = better(cells, tasks, split, first, other)
            names = f": {', '.join(found)}" if found else ""
            lines.append(f"* {first} above {other}, {split} objects: {len(found)} of {len(tasks)} tasks{names}.")
    lines += ["", f"Where `{first}` fails before it touches anything:", ""]
    lines += ["| task | split | sees nothing | arm cannot reach | seconds a scene |", "|---|---|---|---|---|"]
    for task in tasks:
        for split in args.splits:
            cell = cells.get(f"{task}/{split}/{first}")
            if cell is not None:
                n = len(cell.success)
                lines.append(
                    f"| {task} | {split} | {cell.unseen} of {n} | {cell.unreachable} of {n} | {cell.seconds:.2f} |"
                )
    return "\n".join(lines) + "\n"


def run(args: Args) -> int:
    """Plays what is missing, writes JSON and page, prints the table."""
    names = check(args)
    weights = cfg.parse_weights(args.weights)
    data = _read(args.out, args)
    hashes = {p: _weights_of(p, weights) for p in args.priors}

    def save(content: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: file.write(content.encode()))

    cells: dict[str, Cell] = {}
    for task in names:
        for split in args.splits:
            for prior in args.priors:
                key = _name(task, split, prior, hashes[prior])
                if key not in data["cells"]:
                    cell = measure(task, split, prior, args.scenes, args.seed, weights)
                    data["cells"][key] = {f: getattr(cell, f) for f in Cell.__dataclass_fields__}
                    save(json.dumps(data, indent=1) + "\n", args.out)
                cells[f"{task}/{split}/{prior}"] = Cell(**data["cells"][key])
        if not args.json:
            print("\n".join(table(cells, [task], args.splits, args.priors)[2:]), flush=True)
    if args.page is not None:
        save(page(cells, args, names, hashes), args.page)
    if args.json:
        print(json.dumps(data, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(run(tyro.cli(Args)))

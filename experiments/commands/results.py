"""``deft results``: tables 2 and 3, figures 6 and 7 and the optimizer benchmark into one folder and one page."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from deft_env import paper, registries
from deft_experiments import parts, results_page, tables
from deft_experiments.commands import bench, figure, sweeping, table
from deft_experiments.errors import UsageError
from deft_experiments.store import FILE_NAME

Part = Literal["table-2", "table-3", "figure-6", "figure-7", "bench"]
QUICK_SEEDS = 3
"""Of the benchmark with ``--quick``."""
AGENTS = ("deft", "cem+elite-mean", "cem", "sep-cma", "cma", "gp", "random+best-seen")


@dataclass(frozen=True)
class Args:
    """Runs (or goes on with) everything the results page shows, and writes the page.

    What the parts have in common runs once. Interrupted, the same command goes on; finished, it writes the page again.
    A benchmark that was played before, for example by `deft bench`, is only read: --benchmark DIR.

    Attributes:
        folder: where stores, tables and figures go.
        docs: folder of results.md; pictures go into its images.
        parts: which parts.
        quick: fewer seeds and trials, for a look.
        seeds: number of seeds; by default each part's own.
        trials: evaluation episodes a split and seed, likewise.
        tasks: these tasks in every part instead of the paper's (and of all nine in the benchmark).
        agents: agents of the benchmark.
        benchmark: folder of a sweep whose store is the benchmark; then that part is not played.
        stand_ins: also rows of what stands in for the paper's networks, as of `deft table --stand-ins`.
        rig: what executes grasps.
        weights: NAME=PATH of weights, such as r3m=r3m.safetensors.
        workers: processes; 0 for one a core.
        ray: address of a Ray cluster, or auto, or local.
        page_only: run nothing, write the page of what is there.
    """

    folder: Path = Path("runs/results")
    docs: Path = Path("docs")
    parts: tuple[Part, ...] = results_page.PARTS
    quick: sweeping.Flag = False
    seeds: int | None = None
    trials: int | None = None
    tasks: tuple[str, ...] = ()
    agents: tuple[str, ...] = AGENTS
    benchmark: Path | None = None
    stand_ins: sweeping.Flag = False
    rig: str = "simulated"
    weights: tuple[str, ...] = ()
    workers: int = 0
    ray: str = ""
    page_only: sweeping.Flag = False


def run(args: Args) -> int:
    """Runs the parts in order, then writes the page."""
    tasks = sweeping.words(args.tasks)
    for task in tasks:
        parts.check_task(task)
    if args.benchmark is not None and not (args.benchmark / FILE_NAME).is_file():
        raise UsageError(f"--benchmark {args.benchmark}: expected a folder of a sweep with {FILE_NAME} in it")
    for part in () if args.page_only else args.parts:
        if part == results_page.BENCH and args.benchmark is not None:
            continue
        started, cpu = time.time(), results_page.cpu_seconds()
        command, go = _part(args, part)
        code = go()
        took = time.time() - started, results_page.cpu_seconds() - cpu
        results_page.note_time(args.folder, part, command, *took)
        if code != 0:
            return code
    print(results_page.write(args.folder, args.docs, tasks, args.benchmark))
    return 0


def _part(args: Args, part: Part) -> tuple[str, Callable[[], int]]:
    """The command of a part as one would type it, and what it does."""
    kind, _, number = part.partition("-")
    size = " --quick" if args.quick else ""
    size += "".join(f" --{n} {v}" for n, v in (("seeds", args.seeds), ("trials", args.trials)) if v is not None)
    tasks = f" --tasks {','.join(sweeping.words(args.tasks))}" if args.tasks else ""
    rig = "" if args.rig == "simulated" else f" --rig {args.rig}"
    weights = "".join(f" --weights {w}" for w in args.weights)
    if part == results_page.BENCH:
        return _bench(args, rig)
    options: dict[str, Any] = {
        "seeds": args.seeds,
        "trials": args.trials,
        "quick": args.quick,
        "tasks": args.tasks,
        "rig": args.rig,
    }
    options |= {"weights": args.weights, "workers": args.workers, "ray": args.ray, "out": args.folder}
    typed = f"deft {kind} {number}{size}{tasks}{rig}"
    if kind == "table":
        typed += f"{' --stand-ins' if args.stand_ins else ''}{weights} --out {args.folder}"
        made = table.Args(number=2 if number == "2" else 3, stand_ins=args.stand_ins, **options)
        return typed, functools.partial(table.run, made)
    typed += f"{weights} --out {args.folder}"
    return typed, functools.partial(figure.run, figure.Args(number=6 if number == "6" else 7, **options))


def _bench(args: Args, rig: str) -> tuple[str, Callable[[], int]]:
    folder = args.folder / results_page.BENCH
    seeds = (QUICK_SEEDS if args.quick else tables.SEEDS) if args.seeds is None else args.seeds
    trials = (tables.QUICK_TRIALS if args.quick else tables.TRIALS) if args.trials is None else args.trials
    tasks = tuple(sweeping.words(args.tasks)) or tuple(registries.TASK_WORDS)
    command = (
        f"deft bench --agents {','.join(args.agents)} --tasks {','.join(tasks)} --seeds {seeds} --trials {trials}{rig} "
        f"--out {folder}"
    )
    shared: dict[str, Any] = {"workers": args.workers, "ray": args.ray}
    if (folder / bench.PLAN_FILE).exists():
        made = bench.Args(resume=folder, **shared)
    else:
        made = bench.Args(
            agents=args.agents,
            tasks=tasks,
            seeds=seeds,
            trials=trials,
            episodes=paper.EPISODES,
            rig=args.rig,
            out=folder,
            **shared,
        )
    return command, functools.partial(bench.run, made)

"""``deft bench``: agents x tasks x seeds on the same scenes, in lockstep batches."""

from __future__ import annotations

import functools
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deft_env import paper
from deft_experiments import config as cfg
from deft_experiments import images, parts, summary, sweep, terminal
from deft_experiments.commands import report, sweeping
from deft_experiments.errors import UsageError
from deft_experiments.store import Store

PLAN_FILE = "sweep.json"
_IN_PLAN = ("agents", "tasks", "seeds", "episodes", "reward", "prior", "rig", "encoder", "trials", "eval_at")
_OPTIONS = ("rig_config", "prior_config", "reward_config")


@dataclass(frozen=True)
class Args(sweeping.PartArgs):
    """Runs every agent on every task with every seed; agents meet the same scenes, and share episodes per search.

    Attributes:
        agents: names, separated by commas or spaces; `deft list agents`.
        tasks: names, likewise.
        seeds: number of seeds, 0, 1, 2, …
        episodes: fine-tuning episodes a run.
        trials: evaluation episodes a split; 0 for none.
        eval_at: evaluate the policies distilled after these episodes, for example 10 20 30; default: the last.
        workers: processes; 0 for one a core.
        ray: address of a Ray cluster, or auto, or local; then the shards run there.
        out: folder to make; default runs/<time>-bench.
        resume: go on with the sweep in this folder; the other options are taken from there.
        json: print the result as JSON.
    """

    agents: tuple[str, ...] = ("deft",)
    tasks: tuple[str, ...] = ("PickCup",)
    seeds: int = 20
    episodes: int = paper.EPISODES
    trials: int = 20
    eval_at: tuple[int, ...] = ()
    workers: int = 1
    ray: str = ""
    out: Path | None = None
    resume: Path | None = None
    json: sweeping.Flag = False


def asked(args: Args) -> dict[str, Any]:
    """What the arguments ask for, as plain JSON values; kept in the folder for ``--resume``."""
    out = {name: getattr(args, name) for name in _IN_PLAN}
    out["agents"] = [a for word in args.agents for a in word.split(",") if a]
    out["tasks"] = [t for word in args.tasks for t in word.split(",") if t]
    out["eval_at"] = sorted(set(args.eval_at)) or [args.episodes]
    for name in _OPTIONS:
        out[name] = cfg.parse_options(getattr(args, name), "--" + name.replace("_", "-"))
    out["weights"] = {name: cfg.file_hash(path) for name, path in cfg.parse_weights(args.weights).items()}
    return out


def plan(wanted: dict[str, Any], weights: dict[str, Path]) -> sweep.Plan:
    """The runs of a sweep.

    Raises:
        UsageError: naming everything that is wrong at once, before anything runs.
    """
    wrong = []
    for name, least in (("seeds", 1), ("episodes", 1), ("trials", 0)):
        if wanted[name] < least:
            wrong.append(f"--{name}: expected at least {least}, got {wanted[name]}")
    for name in ("agents", "tasks"):
        if not wanted[name]:
            wrong.append(f"--{name}: expected at least one name")
    wrong += [
        f"--eval-at: expected 1 … {wanted['episodes']}, got {n}"
        for n in wanted["eval_at"]
        if not 1 <= n <= wanted["episodes"]
    ]
    if wrong:
        raise UsageError("; ".join(wrong))
    options = {name.replace("_config", "_options"): wanted[name] for name in _OPTIONS}
    names = {name: wanted[name] for name in ("episodes", "reward", "prior", "rig", "encoder", "weights")}
    base = cfg.RunConfig(task=wanted["tasks"][0], **names, **options)
    looks = [functools.partial(parts.check_task, name) for name in wanted["tasks"]]
    looks += [functools.partial(parts.check_agent, name, {}, wanted["episodes"]) for name in wanted["agents"]]
    wrong += parts.complaints(looks)
    if wrong:
        raise UsageError("\n".join(wrong))
    parts.check_names(base.__class__.from_dict({**base.as_dict(), "agent": wanted["agents"][0]}))
    jobs = sweep.jobs(base, wanted["agents"], wanted["tasks"], wanted["seeds"])
    return sweep.Plan(tuple(jobs), wanted["trials"], tuple(wanted["eval_at"]), weights)


def _stored(folder: Path) -> dict[str, Any]:
    try:
        data = json.loads((folder / PLAN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--resume {folder}: expected a folder of `deft bench` with {PLAN_FILE} in it ({error})"
        ) from None
    want = {*_IN_PLAN, *_OPTIONS, "weights"}
    if not isinstance(data, dict) or set(data) != want:
        raise UsageError(f"--resume {folder}: {PLAN_FILE} must hold the fields {', '.join(sorted(want))}")
    return data


def run(args: Args) -> int:
    """Runs the sweep, prints the table, writes the report."""
    started = time.time()
    if args.workers < 0:
        raise UsageError(f"--workers: expected a number >= 0, got {args.workers}")
    weights = cfg.parse_weights(args.weights)
    wanted = _stored(args.resume) if args.resume else asked(args)
    try:
        whole = plan(wanted, weights)
    except UsageError as error:
        raise UsageError(f"--resume {args.resume}: {error}" if args.resume else str(error)) from None
    folder = args.resume or args.out or sweep.new_folder()
    if not args.resume:
        if (folder / PLAN_FILE).exists():
            raise UsageError(f"--out {folder}: there is a sweep already; use --resume {folder}, or another folder")
        text = json.dumps(wanted, indent=1, sort_keys=True)
        images.write_atomically(folder / PLAN_FILE, lambda file: file.write(text.encode()))
    again = f"deft bench --resume {folder}"
    if not sweeping.carry_out(whole, folder, workers=args.workers, ray=args.ray, again=again):
        return sweeping.INTERRUPTED
    seconds = time.time() - started
    return _show(args, wanted, folder, {"seconds": round(seconds, 3), "folder": str(folder), "workers": args.workers})


def _show(args: Args, wanted: dict[str, Any], folder: Path, wall_clock: dict[str, Any]) -> int:
    report.write(folder, folder / "report.html")
    with Store(folder, "r") as store:
        cells = [asdict(c) for c in summary.cells(store)]
        stand_ins = store.run(store.runs()[0])[1].get("stand_ins", [])
    if args.json:
        result = {"sweep": wanted, "cells": cells, "stand_ins": stand_ins, "wall_clock": wall_clock}
        print(json.dumps(result, indent=1, sort_keys=True))
        return 0
    console = terminal.output()
    if stand_ins:
        console.print(f"stand-ins, not the real thing: {', '.join(stand_ins)}", highlight=False)
    if cells:
        console.print(
            terminal.evaluation_table(cells, f"success, {wanted['seeds']} seeds × {wanted['trials']} trials a split")
        )
    console.print(
        f"folder: {folder} (store, report.html), {wall_clock['seconds']:.0f} s", highlight=False, soft_wrap=True
    )
    return 0

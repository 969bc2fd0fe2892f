"""What commands that run sweeps have in common: their options, their folder, progress, interruption, resuming."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import tyro

from deft_env import paper
from deft_experiments import config as cfg
from deft_experiments import images, parts, spent, sweep, terminal
from deft_experiments.errors import DeftError, UsageError

INTERRUPTED = 130
Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]


@dataclass(frozen=True, kw_only=True)
class PartArgs:
    """Options of commands that take every part of a run by name.

    Attributes:
        reward: what agents are told.
        prior: what fine-tuning starts from.
        rig: what executes grasps.
        encoder: image features that policies see.
        rig_config: options of the rig, NAME=VALUE or a JSON file; for the real rig its YAML, TOML or JSON file.
        prior_config: options of the prior, NAME=VALUE or a JSON file.
        reward_config: options of the reward, likewise.
        weights: NAME=PATH of weights that a part needs, such as r3m=r3m.safetensors.
    """

    reward: str = "oracle"
    prior: str = "simulated"
    rig: str = "simulated"
    encoder: str = "none"
    rig_config: tuple[str, ...] = ()
    prior_config: tuple[str, ...] = ()
    reward_config: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()


@dataclass(frozen=True)
class SweepArgs:
    """Options of every command that runs a sweep of the paper's methods.

    Attributes:
        seeds: number of seeds, 0, 1, 2, …; default 20, with --quick 4.
        trials: evaluation episodes a split and seed; default 20, with --quick 10.
        quick: a look in minutes: fewer seeds and trials.
        tasks: these tasks instead of the paper's; separated by commas or spaces.
        episodes: fine-tuning episodes a run.
        prior: stands in the learned prior's place: simulated or affordance.
        heuristic: prior of the real-world-only row: heuristic, heuristic-run or heuristic-palm-down.
        rig: what executes grasps.
        encoder: image features that policies see.
        rig_config: options of the rig, NAME=VALUE or a JSON file; for the real rig its YAML, TOML or JSON file.
        weights: NAME=PATH of weights that a part needs, such as r3m=r3m.safetensors.
        workers: processes; 0 for one a core.
        ray: address of a Ray cluster, or auto, or local; then the shards run there.
        out: folder; runs that it holds already are used. Default runs/<time>-<command>.
        resume: go on in this folder with the options kept there.
        json: print the result as JSON.
    """

    seeds: int | None = None
    trials: int | None = None
    quick: Flag = False
    tasks: tuple[str, ...] = ()
    episodes: int = paper.EPISODES
    prior: str = "simulated"
    heuristic: str = "heuristic"
    rig: str = "simulated"
    encoder: str = "none"
    rig_config: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    workers: int = 0
    ray: str = ""
    out: Path | None = None
    resume: Path | None = None
    json: Flag = False


_NOT_KEPT = ("workers", "ray", "out", "resume", "json")


def words(args: Sequence[str]) -> list[str]:
    """Names separated by commas or spaces, in order, once each."""
    return list(dict.fromkeys(name for word in args for name in word.split(",") if name))


def settings(args: SweepArgs, seeds: int, trials: int, quick_seeds: int, quick_trials: int) -> dict[str, Any]:
    """What the arguments ask for as plain JSON values, defaults filled in; kept in the folder for ``--resume``.

    Raises:
        UsageError: for a number out of range or an option that cannot be read.
    """
    out: dict[str, Any] = {f.name: getattr(args, f.name) for f in fields(args) if f.name not in _NOT_KEPT}
    del out["quick"]
    given = {"seeds": (args.seeds, quick_seeds, seeds, 1), "trials": (args.trials, quick_trials, trials, 1)}
    wrong = []
    for name, (value, quick, full, least) in given.items():
        out[name] = (quick if args.quick else full) if value is None else value
        if out[name] < least:
            wrong.append(f"--{name}: expected at least {least}, got {out[name]}")
    if args.workers < 0:
        wrong.append(f"--workers: expected a number >= 0, got {args.workers}")
    out["tasks"] = words(args.tasks)
    wrong += parts.complaints(functools.partial(parts.check_task, name) for name in out["tasks"])
    if wrong:
        raise UsageError("\n".join(wrong))
    out["rig_config"] = cfg.parse_options(args.rig_config, "--rig-config")
    out["weights"] = {name: cfg.file_hash(path) for name, path in cfg.parse_weights(args.weights).items()}
    loaded: dict[str, Any] = json.loads(json.dumps(out))
    return loaded


def resumed(folder: Path, file: str, args: SweepArgs, command: str) -> dict[str, Any]:
    """The settings kept in a folder.

    Raises:
        UsageError: if it is no folder of this command, or other weights are given than then.
    """
    try:
        kept = json.loads((folder / file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--resume {folder}: expected a folder of `{command}` with {file} in it ({error})") from None
    want = {f.name for f in fields(args)} - {*_NOT_KEPT, "quick"}
    if not isinstance(kept, dict) or set(kept) != want:
        raise UsageError(f"--resume {folder}: {file} must hold the fields {', '.join(sorted(want))}")
    have = {name: cfg.file_hash(path) for name, path in cfg.parse_weights(args.weights).items()}
    if have != kept["weights"]:
        raise UsageError(f"--resume {folder}: give its own --weights again: {', '.join(kept['weights']) or 'none'}")
    return kept


def keep(folder: Path, file: str, wanted: Mapping[str, Any]) -> None:
    """Writes the settings into the folder."""
    text = json.dumps(wanted, indent=1, sort_keys=True) + "\n"
    images.write_text(folder / file, text)


def base_config(wanted: Mapping[str, Any], task: str) -> cfg.RunConfig:
    """The run that all runs of a table or figure are variants of.

    Raises:
        UsageError: for a wrong name.
    """
    base = cfg.RunConfig(
        task=task,
        prior=wanted["prior"],
        rig=wanted["rig"],
        encoder=wanted["encoder"],
        episodes=wanted["episodes"],
        rig_options=wanted["rig_config"],
    )
    parts.check_names(base)
    return base


def carry_out(
    whole: sweep.Plan,
    folder: Path,
    *,
    workers: int,
    ray: str = "",
    again: str,
    said: Callable[[str], None] | None = None,
) -> bool:
    """Runs a sweep with a live progress line.

    Args:
        whole: the sweep.
        folder: where its store lies.
        workers: processes, 0 for one a core.
        ray: address of a cluster; empty for this machine.
        again: the command that goes on with it, printed when it is interrupted.
        said: gets a line before it starts; by default standard error.

    Returns:
        False if it was interrupted by Ctrl-C.
    """
    workers = workers or os.cpu_count() or 1
    total = whole.training_episodes + whole.evaluation_episodes
    with terminal.Progress() as progress:
        where = f"Ray at {ray}" if ray else f"{workers} worker(s)"
        (said or progress.say)(f"{len(whole.jobs)} runs, {total} episodes, {where} -> {folder}")
        try:
            with progress.bar("episodes", total) as advance:
                note = f"{len(whole.jobs)} runs"
                if ray:
                    from deft_experiments import cluster

                    cluster.run_sweep(whole, folder, ray, lambda n: advance(n, note))
                else:
                    spent.note(folder, sweep.run_sweep(whole, folder, workers, lambda n: advance(n, note)))
        except KeyboardInterrupt:
            progress.stop()
            print(f"interrupted, nothing is lost; go on with: {again}", file=sys.stderr)
            return False
        except DeftError:
            print(f"everything so far is in {folder}; go on with: {again}", file=sys.stderr)
            raise
    return True

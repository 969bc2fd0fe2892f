"""``deft compare A B``: two agents on the same scenes, seed by seed."""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from deft_agents import split_name
from deft_env import paper
from deft_env.episode import SPLITS, generator
from deft_experiments import anytime, comparing, images, paper_results, parts, rates, statistics, sweep, terminal
from deft_experiments import config as cfg
from deft_experiments.commands import sweeping
from deft_experiments.errors import UsageError
from deft_experiments.store import Store

REFERENCE = "deft"
SEEDS_AT_ONCE = 5


@dataclass(frozen=True)
class Args(sweeping.PartArgs):
    """Compares two agents by their pooled success after all episodes, on the same scenes and seeds.

    The primary measure is named before anything runs: success after --episodes, mean over tasks and --split, one number
    a seed. --until-decided adds seeds until a test that may be looked at any time decides; whatever else is printed
    then is descriptive.

    Attributes:
        a: an agent: SEARCH+POLICY, a bare search, or deft.
        b: the agent that it is compared with.
        tasks: names, separated by commas or spaces; default: the paper's table 2.
        seeds: number of seeds; with --until-decided the number to begin with.
        until_decided: add seeds until the test decides.
        max_seeds: where --until-decided gives up.
        margin: with --until-decided, a difference up to this is called none.
        trials: evaluation episodes a split and seed.
        split: objects that count: train, test or both.
        episodes: fine-tuning episodes a run.
        eval_at: evaluate after these episodes too, for the episodes to reach DEFT's level.
        no_reference: leave out DEFT's own runs; then no level to reach is given.
        workers: processes; 0 for one a core.
        ray: address of a Ray cluster, or auto, or local.
        out: folder; one that exists is gone on with: runs that it holds already are not run again. Default
            runs/<time>-compare.
        json: print the result as JSON.
    """

    a: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="A")]
    b: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="B")]
    tasks: tuple[str, ...] = paper_results.TASKS_TABLE_2
    seeds: int = 20
    until_decided: sweeping.Flag = False
    max_seeds: int = 200
    margin: float = anytime.MARGIN
    trials: int = 20
    split: Literal["train", "test", "both"] = "both"
    episodes: int = paper.EPISODES
    eval_at: tuple[int, ...] = cfg.SNAPSHOTS
    no_reference: sweeping.Flag = False
    workers: int = 0
    ray: str = ""
    out: Path | None = None
    json: sweeping.Flag = False


def _check(args: Args) -> tuple[list[str], tuple[int, ...]]:
    wrong = []
    for name, least in (("seeds", 2), ("trials", 1), ("episodes", 1), ("workers", 0)):
        if getattr(args, name) < least:
            wrong.append(f"--{name}: expected at least {least}, got {getattr(args, name)}")
    if args.until_decided and args.max_seeds < args.seeds:
        wrong.append(f"--max-seeds: expected at least --seeds ({args.seeds}), got {args.max_seeds}")
    if not 0.0 < args.margin < 1.0:
        wrong.append(f"--margin: expected a number between 0 and 1, got {args.margin}")
    if args.a == args.b:
        wrong.append(f"A and B: expected two agents, got {args.a!r} twice")
    tasks = sweeping.words(args.tasks)
    if not tasks:
        wrong.append("--tasks: expected at least one name")
    looks = [functools.partial(parts.check_task, task) for task in tasks]
    looks += [functools.partial(parts.check_agent, agent, {}, args.episodes) for agent in (args.a, args.b)]
    wrong += parts.complaints(looks)
    if wrong:
        raise UsageError("\n".join(wrong))
    at = sorted({n for n in args.eval_at if n <= args.episodes} | {args.episodes})
    return tasks, tuple(at)


def run(args: Args) -> int:
    """Runs what is missing, compares, and says what was found."""
    tasks, at = _check(args)
    weights = cfg.parse_weights(args.weights)
    base = cfg.RunConfig(
        task=tasks[0],
        prior=args.prior,
        reward=args.reward,
        rig=args.rig,
        encoder=args.encoder,
        episodes=args.episodes,
        rig_options=cfg.parse_options(args.rig_config, "--rig-config"),
        prior_options=cfg.parse_options(args.prior_config, "--prior-config"),
        reward_options=cfg.parse_options(args.reward_config, "--reward-config"),
        weights={name: cfg.file_hash(path) for name, path in weights.items()},
    )
    parts.check_names(base)
    agents = list(dict.fromkeys([args.a, args.b, *([] if args.no_reference else [REFERENCE])]))
    folder = args.out or sweep.new_folder("compare")
    seeds = args.seeds
    while True:
        # The agents of the test decide when it ends; the reference runs on the same seeds.
        whole = sweep.Plan(tuple(sweep.jobs(base, agents, tasks, seeds)), args.trials, at, weights)
        again = f"the same command with --out {folder}"
        if not sweeping.carry_out(whole, folder, workers=args.workers, ray=args.ray, again=again):
            return sweeping.INTERRUPTED
        result = compare(args, folder, base, agents, tasks, at, whole)
        if not args.until_decided or result["decision"]["verdict"] != "open" or seeds >= args.max_seeds:
            break
        seeds = min(seeds + SEEDS_AT_ONCE, args.max_seeds)
        print(f"not decided after {result['seeds']} seeds; going on with {seeds}", file=sys.stderr)
    text = json.dumps(result, indent=1, sort_keys=True)
    images.write_text(folder / "compare.json", text + "\n")
    if args.json:
        print(text)
    else:
        _show(args, result, folder)
    return 0


def compare(
    args: Args,
    folder: Path,
    base: cfg.RunConfig,
    agents: list[str],
    tasks: list[str],
    at: tuple[int, ...],
    whole: sweep.Plan,
) -> dict[str, Any]:
    """Everything the command says, as plain JSON values, from the folder's store."""
    with Store(folder, "r") as store:
        found = rates.read(store, trials=args.trials, runs={job.config.run_id for job in whole.jobs})
        stand_ins = sorted({s for job in whole.jobs for s in store.run(job.config.run_id)[1].get("stand_ins", [])})
    splits = SPLITS if args.split == "both" else (args.split,)

    def after(n: int) -> tuple[list[comparing.Scores], list[int]]:
        return comparing.scores(found, {name: _method(base, name, n) for name in agents}, tasks, splits)

    final, seeds = after(at[-1])
    a, b = final[0], final[1]
    paired = statistics.paired(a.pooled, b.pooled)
    better = comparing.probability_of_improvement(a, b, generator("compare", args.a, args.b))
    decision = anytime.decide(a.pooled - b.pooled, margin=args.margin)
    out: dict[str, Any] = {
        "a": args.a,
        "b": args.b,
        "tasks": tasks,
        "split": args.split,
        "seeds": len(seeds),
        "trials": args.trials,
        "episodes": args.episodes,
        "stand_ins": stand_ins,
        "success": {s.name: asdict(statistics.over_seeds(s.pooled)) for s in final},
        "difference": asdict(paired.difference),
        "p": paired.p,
        "seeds_improved": paired.improved,
        "variance_saved_by_pairing": paired.variance_saved,
        "probability_of_improvement": asdict(better),
        "per_task": {task: asdict(statistics.t_interval(a.values[i] - b.values[i])) for i, task in enumerate(tasks)},
        "decision": asdict(decision),
        "cost": {"runs": len(whole.jobs), "episodes": whole.training_episodes + whole.evaluation_episodes},
        "profile": {
            "levels": comparing.LEVELS.tolist(),
            **{s.name: comparing.performance_profile(s).tolist() for s in final},
        },
        "wins": {"agents": agents, "matrix": comparing.win_matrix(final).tolist()},
    }
    if REFERENCE in agents:
        levels = final[agents.index(REFERENCE)].values.mean(axis=1)
        curves = {n: {s.name: s for s in after(n)[0]} for n in at}
        out["reach"] = {
            "level": f"{REFERENCE} after {at[-1]} episodes, by task",
            "levels": dict(zip(tasks, levels.tolist(), strict=True)),
            "at": list(at),
            **{n: comparing.as_dict(comparing.reach({k: c[n] for k, c in curves.items()}, levels)) for n in agents},
        }
    return out


def _method(base: cfg.RunConfig, agent: str, after: int) -> rates.Method:
    search, policy = split_name(agent)
    return rates.of_config(dataclasses.replace(base, agent=f"{search}+{policy}"), policy, after)


def _show(args: Args, result: dict[str, Any], folder: Path) -> None:
    from rich.table import Table

    console = terminal.output()

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    if result["stand_ins"]:
        say(f"stand-ins, not the real thing: {', '.join(result['stand_ins'])}")
    say(in_words(result, args.until_decided))
    table = Table(
        box=None, pad_edge=False, title="success, share of wins over, episodes to DEFT's level", title_justify="left"
    )
    names = result["wins"]["agents"]
    for column in ("agent", "success [95 %]", *(f"> {n}" for n in names), "reached", "median", "episodes a reach"):
        table.add_column(column.replace("[", "\\["))
    for i, name in enumerate(names):
        interval = result["success"][name]
        wins = ["–" if i == j else f"{result['wins']['matrix'][i][j]:.2f}" for j in range(len(names))]
        reach = result.get("reach", {}).get(name)
        reached = ["–"] * 3
        if reach:
            median, time = reach["median"], reach["expected_running_time"]
            reached = [
                f"{reach['reached']} of {reach['runs']}",
                f"> {result['episodes']}" if median is None else str(median),
                "∞" if time is None else f"{time:.0f}",
            ]
        rate = f"{interval['estimate']:.2f} \\[{interval['low']:.2f}, {interval['high']:.2f}]"
        table.add_row(name, rate, *wins, *reached)
    console.print(table)
    for task, d in result["per_task"].items():
        say(f"  {task}: {args.a} − {args.b} = {d['estimate']:+.2f} [{d['low']:+.2f}, {d['high']:+.2f}]")
    say(f"folder: {folder} (store, compare.json)")


def in_words(result: dict[str, Any], sequential: bool) -> str:
    """What was found, in a few sentences."""
    d, chance, decision = result["difference"], result["probability_of_improvement"], result["decision"]
    a, b = result["a"], result["b"]
    saved = result["variance_saved_by_pairing"]
    pairing = f"saved {saved:.0%} of the variance" if saved >= 0 else f"cost {-saved:.0%} more variance"
    lines = [
        f"{a} − {b}: {d['estimate']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}] pooled success after "
        f"{result['episodes']} episodes ({result['seeds']} seeds × {len(result['tasks'])} task(s) × "
        f"{result['trials']} trials, {result['split']} objects), paired t test p = {result['p']:.2g}. "
        f"Pairing {pairing}.",
        f"A run of {a} beats a run of {b} with probability {chance['estimate']:.2f} "
        f"[{chance['low']:.2f}, {chance['high']:.2f}].",
    ]
    held = f"interval valid at all times [{decision['low']:+.2f}, {decision['high']:+.2f}]"
    said = {
        "A": f"decided: {a} is better",
        "B": f"decided: {b} is better",
        "same": "decided: no difference beyond the margin",
        "open": "not decided",
    }[decision["verdict"]]
    if sequential:
        cost = result["cost"]
        lines.append(
            f"Sequential test at α = {anytime.ALPHA}: {said} ({held}), after {decision['seeds']} seeds: "
            f"{cost['runs']} runs, {cost['episodes']} episodes."
        )
        lines.append("The other intervals assume a fixed number of seeds and are descriptive here.")
    else:
        lines.append(f"Sequential test, had it been looked at after every seed: {said} ({held}).")
    return " ".join(lines)

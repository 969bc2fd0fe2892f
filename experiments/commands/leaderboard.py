"""``deft leaderboard``: a page that ranks the agents of stored sweeps."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deft_env import paper
from deft_experiments import images, leaderboard, leaderboard_lines, parts, report_page, sweep
from deft_experiments.commands import sweeping
from deft_experiments.errors import UsageError
from deft_experiments.store import Store

NOTE = (
    "Success after {after} episodes, mean over {tasks} and over {objects}; 95 % interval over seeds. "
    "− DEFT: paired difference on the same scenes; p after Holm's correction over the page. Cost is of one run's "
    "fine-tuning; times of simulated runs are modelled with two minutes of a person a trial."
)


@dataclass(frozen=True)
class Args:
    """Ranks agents by pooled success after all episodes, with cost and the command that makes each row again.

    Attributes:
        folders: folders with stores, at any depth; default: runs.
        tasks: what counts; default: what the agents have in common, without those that ran on few tasks.
        episodes: fine-tuning episodes.
        splits: objects that count: train, test, or both; default: those on which any agent was evaluated.
        out: page to write; a Markdown table is written beside it.
        json: print the result as JSON.
    """

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[FOLDER ...]")] = (sweep.RUNS,)
    tasks: tuple[str, ...] = ()
    episodes: int = paper.EPISODES
    splits: tuple[Literal["train", "test"], ...] = ()
    out: Path = Path("leaderboard.html")
    json: sweeping.Flag = False


def run(args: Args) -> int:
    """Builds the page and says where it is."""
    for folder in args.folders:
        if not folder.is_dir():
            raise UsageError(f"{folder}: there is no such folder")
    tasks = sweeping.words(args.tasks)
    for task in tasks:
        parts.check_task(task)
    paths, where = leaderboard.stores(args.folders), ", ".join(map(str, args.folders))
    others = leaderboard.evaluated_after(paths)
    if others and args.episodes not in others:
        raise UsageError(
            f"{where}: no policy was evaluated after {args.episodes} episodes; --episodes: there are policies after "
            f"{', '.join(map(str, others))}"
        )
    board = leaderboard.build(paths, tasks=tasks, after=args.episodes, splits=args.splits)
    entries = board.entries
    if not entries:
        raise UsageError(f"{where}: no evaluated runs in any store; `deft bench` and `deft table` make some")
    if args.json:
        print(json.dumps(leaderboard_lines.as_dicts(entries), indent=1, sort_keys=True))
        return 0
    stand_ins: set[str] = set()
    for path in paths:
        with Store(path, "r") as store:
            stand_ins |= {s for run in store.runs() for s in store.run(run)[1].get("stand_ins", [])}
    names, objects = ", ".join(board.tasks), leaderboard_lines.objects(board.splits)
    note = NOTE.format(after=args.episodes, tasks=names, objects=objects)
    images.write_text(args.out, page(entries, note, sorted(stand_ins)))
    images.write_text(args.out.with_suffix(".md"), markdown(entries, note, sorted(stand_ins)))
    print(args.out)
    return 0


def markdown(entries: list[leaderboard.Entry], note: str, stand_ins: list[str]) -> str:
    """The ranking, then the commands."""
    head, ranking = leaderboard_lines.brief(entries)
    rows = ["| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *ranking)]
    named = [f"Stand-ins, not the real thing: {', '.join(stand_ins)}.", ""] if stand_ins else []
    text = [*named, *rows, "", note, ""]
    for command, names in _commands(entries).items():
        text += [f"{', '.join(names)}:", "", f"    {command}", ""]
    return "\n".join(text)


def page(entries: list[leaderboard.Entry], note: str, stand_ins: list[str]) -> str:
    """The same as one self-contained HTML page."""
    head, ranking = leaderboard_lines.brief(entries)
    table = report_page.table(head, [[cell.replace(" ", "\u00a0") for cell in row] for row in ranking], note)
    commands = "".join(
        f"<p>{html.escape(', '.join(names))}</p><pre>{html.escape(command)}</pre>"
        for command, names in _commands(entries).items()
    )
    return report_page.page("DEFT: leaderboard", [("Agents", table), ("Commands", commands)], stand_ins)


def _commands(entries: list[leaderboard.Entry]) -> dict[str, list[str]]:
    """Command -> the agents whose runs it made, prior and reward named."""
    out: dict[str, list[str]] = {}
    for e in entries:
        for command in e.commands:
            name = f"{e.name} ({', '.join(filter(None, (e.prior, e.reward)))})"
            if name not in out.setdefault(command, []):
                out[command].append(name)
    return out

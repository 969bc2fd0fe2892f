"""The results page: tables, figures and the benchmark of one folder as Markdown, with commands and wall time."""

from __future__ import annotations

import json
import os
import re
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from deft_experiments import benchmark_section, images, paper_figures, spent
from deft_experiments.errors import UsageError
from deft_experiments.store import FILE_NAME, Store

BENCH: Final = "bench"
_ABSOLUTE: Final = re.compile(r"(?<![^\s='])/(?:[^\s/]+/)+")
"""The folders of an absolute path in a command: those of one machine are of no use on a page."""
TIMES: Final = "results.json"
PARTS: Final = ("table-2", "table-3", "figure-6", "figure-7", BENCH)
_TITLES: Final = {
    "table-2": "Table 2: methods",
    "table-3": "Table 3: rewards and policies",
    "figure-6": "Figure 6: learning curves of DEFT and real-world only",
    "figure-7": "Figure 7: learning curves on three more tasks",
    BENCH: "Optimizers",
}


def times(folder: Path) -> dict[str, dict[str, Any]]:
    """Part -> {"command", "seconds", "cpu_seconds", "load"} of what was run into the folder so far."""
    try:
        loaded: dict[str, dict[str, Any]] = json.loads((folder / TIMES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UsageError(f"{folder / TIMES}: expected what `deft results` wrote ({error}); remove it") from None
    return loaded


def cpu_seconds() -> float:
    """CPU time of this process and of the workers that it has waited for."""
    own, workers = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + workers.ru_utime + workers.ru_stime


def note_time(folder: Path, part: str, command: str, seconds: float, cpu: float) -> None:
    """Adds the wall and CPU seconds of one more go at a part (interrupted ones add up), and the load after it."""
    known = times(folder)
    before = known.get(part, {})
    known[part] = {
        "command": command,
        "seconds": round(before.get("seconds", 0.0) + seconds, 1),
        "cpu_seconds": round(before.get("cpu_seconds", 0.0) + cpu, 1),
        "load": round(os.getloadavg()[2], 1),
    }
    images.write_text(folder / TIMES, json.dumps(known, indent=1, sort_keys=True) + "\n")


def write(folder: Path, docs: Path, tasks: Sequence[str] = (), benchmark: Path | None = None) -> Path:
    """Writes ``docs/results.md`` and the figures beside it, of whatever parts the folder holds.

    Args:
        folder: of ``deft results``.
        docs: where the page goes; pictures go into its ``images``.
        tasks: tasks of the benchmark; by default all that its store holds.
        benchmark: folder of a sweep that was played before; by default the one inside ``folder``.

    Raises:
        UsageError: if it holds none.
    """
    known = times(folder)
    played = benchmark or folder / BENCH
    sections = [(part, found) for part in PARTS if (found := _section(part, folder, docs, tasks, played))]
    if not sections:
        raise UsageError(f"{folder}: expected tables, figures or a benchmark of `deft results`")
    text = ["# Results", "", _intro(folder, played), ""]
    for part, content in sections:
        text += [f"## {_TITLES[part]}", "", content.strip(), ""]
        if part == BENCH and benchmark is not None:
            text += [_of_its_own(played), ""]
        elif part in known:
            text += [f"`{known[part]['command']}`: {_took(known[part])}.", ""]
    text += ["## Time", "", _time(folder, known, played), ""]
    images.write_text(docs / "results.md", "\n".join(text))
    return docs / "results.md"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"


def _took(entry: Mapping[str, Any]) -> str:
    cpu = f", {_minutes(entry['cpu_seconds'])} of CPU time" if entry.get("cpu_seconds") else ""
    return f"{_minutes(entry['seconds'])} of wall time{cpu}"


def _section(part: str, folder: Path, docs: Path, tasks: Sequence[str], played: Path) -> str:
    if part == BENCH:
        return benchmark_section.section(played, docs, tasks)
    if not (folder / f"{part}.json").is_file():
        return ""
    if part.startswith("table"):
        return (folder / f"{part}.md").read_text(encoding="utf-8")
    for suffix in ("png", "svg"):
        images.write_bytes(docs / "images" / f"{part}.{suffix}", (folder / f"{part}.{suffix}").read_bytes())
    result = json.loads((folder / f"{part}.json").read_text(encoding="utf-8"))
    size = result["settings"]
    caption = (
        f"Success of policies distilled after {', '.join(map(str, size['at']))} episodes on training objects, "
        f"{size['seeds']} seeds × {size['trials']} trials, 95 % bands over seeds; hollow, and in brackets: "
        "the paper's ten trials."
    )
    points = [paper_figures.Point(**p) for p in result["points"]]
    return f"![{caption}](images/{part}.png)\n\n{caption}\n\n{paper_figures.markdown(points)}"


def _of_its_own(played: Path) -> str:
    """Where a benchmark that was played before comes from."""
    with Store(played, "r") as store:
        told = [store.run(run)[1] for run in store.runs()]
        row = store.rows("SELECT count(*) AS n, total(seconds) AS s FROM events WHERE kind = 'executed'")[0]
    commands = dict.fromkeys(t["command"] for t in told if t.get("command"))
    said = (
        f"A sweep of its own, played before and only read here ({row['n']} episodes, whose execution took "
        f"{_minutes(row['s'])} of its workers' time): "
    )
    return said + "; ".join(f"`{_ABSOLUTE.sub('', c)}`" for c in commands) + "."


def _intro(folder: Path, played: Path) -> str:
    """Commit, machine, versions and stand-ins behind the page."""
    stand_ins: set[str] = set()
    commits: dict[str, list[str]] = {}
    about = ""
    for name, where in (("tables and figures", folder), ("benchmark", played)):
        if not (where / FILE_NAME).is_file():
            continue
        with Store(where, "r") as store:
            for run in store.runs():
                told = store.run(run)[1]
                stand_ins |= set(told.get("stand_ins", []))
                commits.setdefault(str(told.get("commit") or "unknown")[:12], []).append(name)
                about = f"{str(told.get('platform', '')).partition('-')[0]} {told.get('machine', '')}; " + ", ".join(
                    f"{k} {v}" for k, v in dict(told.get("versions", {})).items()
                )
    said = "; ".join(f"{commit} ({', '.join(dict.fromkeys(of))})" for commit, of in commits.items())
    text = [
        "Everything here is simulated: no robot, no person; unless a row says otherwise, agents are told the judge's "
        "graded score in a person's place and see the prior's grasp, no picture. Success is the task's boolean; the "
        "interval of a learned agent is over seeds, since the trials of one frozen policy are a cluster.",
        "",
        f"Written by `deft results` from stored sweeps. Commits at which runs were begun: {said}. {about}.",
    ]
    if stand_ins:
        text += ["", f"Stand-ins, not the real thing: {', '.join(sorted(stand_ins))}."]
    return re.sub(r"  +", " ", "\n".join(text))


def _time(folder: Path, known: Mapping[str, Mapping[str, Any]], played: Path) -> str:
    parts = {part: entry for part, entry in known.items() if part != BENCH or played == folder / BENCH}
    if not parts:
        return "Not noted."
    wall = sum(entry["seconds"] for entry in parts.values())
    cpu = sum(entry.get("cpu_seconds", 0.0) for entry in parts.values())
    load = max(entry.get("load", 0.0) for entry in parts.values())
    said = [f"All parts run by `deft results`: {_minutes(wall)} of wall time, {_minutes(cpu)} of CPU time"]
    said[0] += f" on {os.cpu_count()} cores whose load, other work included, was up to {load:g}."
    places = {"tables and figures": folder} | ({"benchmark": played} if BENCH in parts else {})
    for name, where in places.items():
        if words := spent.in_words(spent.read(where)):
            said.append(f"Where it went, {name}: {words}.")
    return "\n\n".join(said)

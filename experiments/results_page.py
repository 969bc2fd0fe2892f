"""The results page: tables, figures and the benchmark of one folder as Markdown, with commands and wall time."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from deft_env import paper
from deft_experiments import images, leaderboard, paper_figures
from deft_experiments.errors import UsageError
from deft_experiments.store import FILE_NAME, Store

BENCH: Final = "bench"
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
    """Part -> {"command", "seconds"} of what was run into the folder so far."""
    try:
        loaded: dict[str, dict[str, Any]] = json.loads((folder / TIMES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UsageError(f"{folder / TIMES}: expected what `deft results` wrote ({error}); remove it") from None
    return loaded


def note_time(folder: Path, part: str, command: str, seconds: float) -> None:
    """Adds the seconds of one more go at a part (interrupted ones add up)."""
    known = times(folder)
    before = known.get(part, {}).get("seconds", 0.0)
    known[part] = {"command": command, "seconds": round(before + seconds, 1)}
    images.write_text(folder / TIMES, json.dumps(known, indent=1, sort_keys=True) + "\n")


def write(folder: Path, docs: Path, tasks: Sequence[str] = ()) -> Path:
    """Writes ``docs/results.md`` and the figures beside it, of whatever parts the folder holds.

    Raises:
        UsageError: if it holds none.
    """
    known = times(folder)
    sections = [(part, found) for part in PARTS if (found := _section(part, folder, docs, tasks))]
    if not sections:
        raise UsageError(f"{folder}: expected tables, figures or a benchmark of `deft results`")
    text = ["# Results", "", _where(folder), ""]
    for part, content in sections:
        text += [f"## {_TITLES[part]}", "", content.strip(), ""]
        if part in known:
            text += [f"`{known[part]['command']}`, {_minutes(known[part]['seconds'])}.", ""]
    total = sum(entry["seconds"] for entry in known.values())
    text += ["## Time", "", f"All of it: {_minutes(total)} of wall time. {_spent(folder)}", ""]
    images.write_text(docs / "results.md", "\n".join(text))
    return docs / "results.md"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"


def _section(part: str, folder: Path, docs: Path, tasks: Sequence[str]) -> str:
    if part == BENCH:
        return _bench(folder / BENCH, tasks)
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
        f"{size['seeds']} seeds × {size['trials']} trials, 95 % bands over seeds; hollow: the paper's ten trials."
    )
    points = [paper_figures.Point(**p) for p in result["points"]]
    return f"![{caption}](images/{part}.png)\n\n{caption}\n\n{paper_figures.markdown(points)}"


def _bench(folder: Path, tasks: Sequence[str]) -> str:
    if not (folder / FILE_NAME).is_file():
        return ""
    entries = leaderboard.build([folder / FILE_NAME], tasks=tasks)
    ran = tasks or sorted({task for entry in entries for task in entry.tasks})
    rows = ["| " + " | ".join(line) + " |" for line in leaderboard.lines(entries)]
    note = (
        f"Success after {paper.EPISODES} episodes, mean over {', '.join(ran)} and over training and test objects, "
        "95 % interval over seeds; − DEFT: paired difference on the same scenes, p after Holm's correction."
    )
    return "\n".join(
        ["| " + " | ".join(leaderboard.HEAD) + " |", "|---" * len(leaderboard.HEAD) + "|", *rows, "", note]
    )


def _stores(folder: Path) -> list[Path]:
    return [path for path in (folder / FILE_NAME, folder / BENCH / FILE_NAME) if path.is_file()]


def _where(folder: Path) -> str:
    """Commit, machine, versions and stand-ins behind the page."""
    found: Mapping[str, Any] = {}
    stand_ins: set[str] = set()
    for path in _stores(folder):
        with Store(path, "r") as store:
            for run in store.runs():
                found = store.run(run)[1]
                stand_ins |= set(found.get("stand_ins", []))
    versions = ", ".join(f"{k} {v}" for k, v in dict(found.get("versions", {})).items())
    said = f"Commit {found.get('commit') or 'unknown'}; {found.get('platform', '')}; {versions}."
    if stand_ins:
        said += f"\n\nStand-ins, not the real thing: {', '.join(sorted(stand_ins))}."
    return re.sub(r"  +", " ", said)


def _spent(folder: Path) -> str:
    """Where the time of the workers went."""
    episodes, seconds = 0, 0.0
    for path in _stores(folder):
        with Store(path, "r") as store:
            row = store.rows("SELECT count(*) AS n, total(seconds) AS s FROM events WHERE kind = 'executed'")[0]
            episodes, seconds = episodes + row["n"], seconds + row["s"]
    if not episodes:
        return ""
    return (
        f"{episodes} episodes; executing them (controls, physics, judge) took all workers {_minutes(seconds)} "
        f"together, {1000 * seconds / episodes:.0f} ms an episode; the rest is scenes, priors, agents, fitting "
        "policies and start-up."
    )

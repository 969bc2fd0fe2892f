"""``deft report``: one self-contained HTML page from a folder of runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import tyro

from deft_experiments import figures, images, report_page, summary, terminal
from deft_experiments.errors import UsageError
from deft_experiments.store import Store


@dataclass(frozen=True)
class Args:
    """Writes report.html from the store in a folder of `deft tune` or `deft bench`.

    Attributes:
        folder: the folder.
        out: file to write; default report.html in the folder.
    """

    folder: Annotated[Path, tyro.conf.Positional]
    out: Path | None = None


STRIPS: Final = ("first", "failed", "best")
"""Film strips that a run leaves, in the order of the page."""


def strip_path(folder: Path, name: str, k: int) -> Path:
    """Where the film strip of an episode lies."""
    return folder / "strips" / f"{name}-{k:04d}.png"


def write(folder: Path, out: Path, store: Store | None = None) -> None:
    """Builds the page of a folder; ``store`` is its store where it is open already.

    Raises:
        StoreError: if there is no readable store.
        UsageError: if the store holds no run.
    """
    with nullcontext(store) if store is not None else Store(folder, "r") as opened:
        page = _page(folder, opened)
    images.write_atomically(out, lambda file: file.write(page.encode()))


def _page(folder: Path, store: Store) -> str:
    runs = store.runs()
    if not runs:
        raise UsageError(f"{folder}: the store holds no run")
    provenance = store.run(runs[0])[1]
    if len(runs) == 1:
        result = summary.of_run(store, runs[0])
        curve = figures.learning_curve(result["training"], terminal.title(result))
        return report_page.of_run(result, curve, _strips(folder, result["training"]["rewards"]), provenance)
    rows = store.rows(
        "SELECT task, agent, count(DISTINCT run) AS runs, count(*) AS episodes, avg(success) AS success"
        " FROM episodes GROUP BY task, agent ORDER BY task, agent"
    )
    return report_page.of_sweep(summary.cells(store), rows, provenance.get("stand_ins", []), provenance)


def _strips(folder: Path, rewards: Sequence[float | None]) -> list[report_page.Strip]:
    found = []
    for name in STRIPS:
        for path in sorted((folder / "strips").glob(f"{name}-*.png")):
            k = int(path.stem.rpartition("-")[2])
            if k < len(rewards):
                found.append(report_page.Strip(f"{name} episode ({k + 1})", path.read_bytes(), rewards[k]))
    return found


def run(args: Args) -> int:
    """Writes the page and says where."""
    if not args.folder.is_dir():
        raise UsageError(f"{args.folder}: there is no such folder")
    out = args.out or args.folder / "report.html"
    write(args.folder, out)
    print(out)
    return 0

"""``deft report``: one self-contained HTML page from a folder of runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

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


def write(folder: Path, out: Path) -> None:
    """Builds the page of a folder.

    Raises:
        StoreError: if there is no readable store.
        UsageError: if the store holds no run.
    """
    with Store(folder, "r") as store:
        runs = store.runs()
        if not runs:
            raise UsageError(f"{folder}: the store holds no run")
        provenance = store.run(runs[0])[1]
        if len(runs) == 1:
            result = summary.of_run(store, runs[0])
            curve = figures.learning_curve(result["training"], terminal.title(result))
            page = report_page.of_run(result, curve, _strips(folder, runs[0], result), provenance)
        else:
            rows = store.rows(
                "SELECT task, agent, count(DISTINCT run) AS runs, count(*) AS episodes, avg(success) AS success"
                " FROM episodes GROUP BY task, agent ORDER BY task, agent"
            )
            page = report_page.of_sweep(summary.cells(store), rows, provenance.get("stand_ins", []), provenance)
    images.write_atomically(out, lambda file: file.write(page.encode()))


def _strips(folder: Path, run: str, result: dict[str, object]) -> list[report_page.Strip]:
    """First and last picture of kept episodes; films cannot be drawn again without the rig."""
    import numpy as np

    best = result["training"]["best_episode"]  # type: ignore[index]
    strips = []
    path = folder / "frames" / run
    if best is not None and (path / f"{best:04d}-first.npz").is_file() and (path / f"{best:04d}-last.npz").is_file():
        frames = []
        for which in ("first", "last"):
            with np.load(path / f"{best:04d}-{which}.npz", allow_pickle=False) as data:
                frames.append(data["rgb"])
        strips.append(
            report_page.Strip(f"best episode ({best + 1}): first and last picture", images.strip(frames, 2, 240), None)
        )
    return strips


def run(args: Args) -> int:
    """Writes the page and says where."""
    if not args.folder.is_dir():
        raise UsageError(f"{args.folder}: there is no such folder")
    out = args.out or args.folder / "report.html"
    write(args.folder, out)
    print(out)
    return 0

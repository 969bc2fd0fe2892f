"""``deft report``: one self-contained HTML page from a folder of runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import tyro

from deft_env import registries
from deft_experiments import figures, images, report_page, summary, sweep_page, terminal
from deft_experiments.config import RunConfig
from deft_experiments.errors import UsageError
from deft_experiments.store import Store


@dataclass(frozen=True)
class Args:
    """Writes report.html from the store in a folder of `deft tune` or `deft bench`.

    Attributes:
        folder: the folder.
        out: file to write; default report.html in the folder.
        films: of a sweep: also play the best and a failed episode of each task again, for film strips.
    """

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    out: Path | None = None
    films: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False


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
    return sweep_page.page(store, folder)


def _strips(folder: Path, rewards: Sequence[float | None]) -> list[report_page.Strip]:
    found = []
    for name in STRIPS:
        for path in sorted((folder / "strips").glob(f"{name}-*.png")):
            k = int(path.stem.rpartition("-")[2])
            if k < len(rewards):
                found.append(report_page.Strip(f"{name} episode ({k + 1})", path.read_bytes(), rewards[k]))
    return found


def play_films(folder: Path) -> None:
    """Plays the best and a failed episode of each task of a sweep again and writes their film strips."""
    from deft_env import grasp
    from deft_env.episode import EpisodeKey

    with Store(folder, "r") as store:
        chosen = [(row, RunConfig.from_dict(store.run(row["run"])[0])) for row in sweep_page.films_of(store)]
    for row, config in chosen:
        path = folder / "strips" / f"{row['task']}-{row['name']}-episode {row['k'] + 1} of {row['run']}.png"
        if path.exists():
            continue
        with registries.make_rig(config.rig, config.rig_options) as rig:
            task = registries.make_task(config.task, rig)
            rig.reset_batch([EpisodeKey(row["task"], "train", "train", row["seed"], row["k"])])
            wished = grasp.compose(json.loads(row["prior_grasp"]), json.loads(row["residual"]))[None]
            (outcome,) = rig.execute_batch(wished, [task.demonstration])
            frames = outcome.film() if outcome.film is not None else []
        if frames:
            images.write_bytes(path, images.png(images.strip(frames)))


def run(args: Args) -> int:
    """Writes the page and says where."""
    if not args.folder.is_dir():
        raise UsageError(f"{args.folder}: there is no such folder")
    out = args.out or args.folder / "report.html"
    if args.films:
        play_films(args.folder)
    write(args.folder, out)
    print(out)
    return 0

"""``deft export``: the rows of a folder in formats that others read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deft_experiments import export, lerobot, terminal
from deft_experiments.commands import sweeping
from deft_experiments.errors import UsageError
from deft_experiments.store import Store


@dataclass(frozen=True)
class Args:
    """Exports the episodes and evaluations of a folder of `deft tune`, `deft bench` or `deft table`.

    csv, parquet: one row an episode and one an evaluation. lerobot: a dataset in the LeRobot v3.0 layout, one frame an
    episode, pictures rendered again from their keys; lerobot 0.4.4 loads it: LeRobotDataset("deft/mine",
    root="<folder>/export/lerobot"). tensorboard, wandb: rewards and successes as curves (offline).

    Attributes:
        folder: the folder.
        format: what to write.
        role: which episodes: training, evaluation or both.
        no_images: lerobot without pictures.
        out: folder to write into; default <folder>/export.
    """

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    format: Literal["csv", "parquet", "lerobot", "tensorboard", "wandb"] = "csv"
    role: Literal["all", "train", "eval"] = "all"
    no_images: sweeping.Flag = False
    out: Path | None = None


def run(args: Args) -> int:
    """Writes the files and says where."""
    if not args.folder.is_dir():
        raise UsageError(f"{args.folder}: there is no such folder")
    out = args.out or args.folder / "export"
    with Store(args.folder, "r") as store:
        if args.format == "csv":
            paths = export.write_csv(store, out, args.role)
        elif args.format == "parquet":
            paths = export.write_parquet(store, out, args.role)
        elif args.format == "tensorboard":
            paths = export.write_tensorboard(store, out)
        elif args.format == "wandb":
            paths = export.write_wandb(store, out)
        else:
            total = len(export.episodes(store, args.role))
            with terminal.Progress() as progress, progress.bar("episodes", total) as advance:
                paths = [
                    lerobot.write(
                        store,
                        out,
                        source=args.folder,
                        role=args.role,
                        with_images=not args.no_images,
                        progress=lambda n: advance(n, ""),
                    )
                ]
    for path in paths:
        print(path)
    return 0

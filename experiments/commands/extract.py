"""``deft extract``: a dataset of human video to shards of labels."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deft_experiments.errors import UsageError


@dataclass(frozen=True)
class Args:
    """Reads annotations and detector outputs, and writes label shards, a manifest and a contact sheet to check by eye.

    Attributes:
        dataset: ego4d, epic-kitchens or hoi4d; synthetic videos are read as epic-kitchens.
        root: folder of the dataset, detector outputs beside its own files (docs/human-video.md).
        out: folder of the shards; an interrupted extraction goes on there.
        poses: hand pose detector: frankmocap, hamer or wilor.
        mano: your MANO_RIGHT.pkl; needed for frankmocap, whose poses are relative to MANO's mean pose.
        workers: processes; the result does not depend on it.
        limit: at most so many clips; 0 for all.
    """

    dataset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    root: Path
    out: Path
    poses: str = "frankmocap"
    mano: str = ""
    workers: int = 1
    limit: int = 0


def run(args: Args) -> int:
    """Extracts, and says how many labels there are and why clips gave none."""
    from deft_env.video.extract import ExtractConfig, extract
    from deft_env.video.labels import LabelConfig

    if not args.root.is_dir():
        raise UsageError(f"--root {args.root}: there is no such folder")
    labels = LabelConfig(mano=args.mano)
    try:
        config = ExtractConfig(
            args.dataset, str(args.root), str(args.out), args.poses, labels, workers=args.workers, limit=args.limit
        )
        done = extract(config, lambda row: print(f"shard {row['shards']} of {row['of']}", file=sys.stderr))
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    print(f"{done.labels} labels from {done.clips} clips in {done.folder}")
    for reason, count in sorted(done.skipped.items(), key=lambda pair: -pair[1]):
        print(f"  skipped, {reason}: {count}")
    return 0

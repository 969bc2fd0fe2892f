"""A dataset to label shards: parallel, resumable, the same result for any number of workers; and a sheet to look at."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np

from deft_env.files import write_atomically
from deft_env.prior import mano
from deft_env.video import shards
from deft_env.video.labels import Label, LabelConfig, SkippedError, label_clip
from deft_env.video.records import Clip, Dataset

DATASETS: Final = {
    "ego4d": "deft_env.video.ego4d:Ego4D",
    "epic-kitchens": "deft_env.video.epic:EpicKitchens",
    "hoi4d": "deft_env.video.hoi4d:HOI4D",
}
"""Datasets by name; synthetic videos are written in EPIC-KITCHENS' format and read as such."""
SHEET_LABELS: Final = 48
Progress = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class ExtractConfig:
    """One extraction.

    Attributes:
        dataset: ``ego4d``, ``epic-kitchens`` or ``hoi4d``.
        root: the dataset's folder, detector outputs beside it (``video.folder``).
        out: folder of the shards; an interrupted extraction goes on there.
        poses: hand pose detector, ``frankmocap``, ``hamer`` or ``wilor``.
        labels: how clips become labels.
        workers: processes.
        limit: at most so many clips, 0 for all.
    """

    dataset: str
    root: str
    out: str
    poses: str = "frankmocap"
    labels: LabelConfig = field(default_factory=LabelConfig)
    workers: int = 1
    limit: int = 0

    def __post_init__(self) -> None:
        if self.dataset not in DATASETS:
            raise ValueError(f"dataset: expected one of {sorted(DATASETS)}, got {self.dataset!r}")
        if self.workers < 1 or self.limit < 0:
            raise ValueError(f"workers, limit: expected >= 1 and >= 0, got {self.workers} and {self.limit}")


@dataclass(frozen=True, slots=True)
class ExtractResult:
    """How many clips were looked at, how many labels they gave, and why the others gave none."""

    clips: int
    labels: int
    skipped: Mapping[str, int]
    folder: Path


def open_dataset(config: ExtractConfig) -> Dataset:
    """The dataset of a configuration; see its class for errors."""
    module, _, name = DATASETS[config.dataset].partition(":")
    made: Dataset = getattr(importlib.import_module(module), name)(config.root, config.poses)
    return made


def _empty() -> shards.Labels:
    px = shards.IMAGE_PX
    f4 = np.float32
    return shards.Labels(
        np.zeros((0, px, px, 3), np.uint8), np.zeros((0, 5, 2), f4), np.zeros((0, 3), f4), np.zeros((0, 45), f4),
        np.zeros((0, 4), f4), (), (),
    )  # fmt: skip


def stack(found: list[Label]) -> shards.Labels:
    """Single labels as one set."""
    if not found:
        return _empty()
    return shards.Labels(
        np.stack([x.image for x in found]),
        np.stack([x.contacts for x in found]),
        np.stack([x.wrist for x in found]),
        np.stack([x.pose for x in found]),
        np.stack([x.box for x in found]),
        tuple(x.instruction for x in found),
        tuple(x.clip for x in found),
    )


def _work(job: tuple[ExtractConfig, int, list[Clip]]) -> int:
    """Writes one shard and, last, its count of reasons: a shard with a count is finished."""
    config, number, clips = job
    dataset = open_dataset(config)
    model = mano.load_hand_model(config.labels.mano) if config.labels.mano else mano.INVENTED
    found, reasons = [], Counter[str]()
    for clip in clips:
        try:
            found.append(label_clip(dataset, clip, config.labels, model))
        except SkippedError as reason:
            reasons[str(reason)] += 1
    folder = Path(config.out)
    shards.write_shard(folder / f"shard-{number:05d}.npz", stack(found))
    counts = {"clips": len(clips), "labels": len(found), "skipped": dict(reasons), "job": _fingerprint(config)}
    write_atomically(folder / f"shard-{number:05d}.json", json.dumps(counts).encode())
    return number


def _fingerprint(config: ExtractConfig) -> str:
    content = {k: v for k, v in asdict(config).items() if k not in ("out", "workers")}
    return json.dumps(content, sort_keys=True)


def _finished(folder: Path, number: int, config: ExtractConfig) -> bool:
    try:
        counts = json.loads((folder / f"shard-{number:05d}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if counts.get("job") != _fingerprint(config):
        raise ValueError(f"out: {folder} holds shards of another extraction; take another folder")
    return (folder / f"shard-{number:05d}.npz").is_file()


def extract(config: ExtractConfig, progress: Progress = lambda row: None) -> ExtractResult:
    """Reads every clip of a dataset and writes shards, ``manifest.json`` and ``contact-sheet.png``.

    Raises:
        FileNotFoundError: if the dataset or the MANO file is missing.
        ValueError: if the folder holds shards of another extraction, or poses are relative and no MANO file is given.
    """
    if config.labels.mano:
        mano.load_hand_model(config.labels.mano)
    elif config.poses == "frankmocap" and config.dataset != "hoi4d":
        raise ValueError(
            "labels.mano: FrankMocap's poses are relative to MANO's mean pose; give your MANO_RIGHT.pkl, or extract "
            "from HaMeR or WiLoR (poses=hamer), which are absolute"
        )
    folder = Path(config.out)
    folder.mkdir(parents=True, exist_ok=True)
    dataset = open_dataset(config)
    clips = dataset.clips()
    clips = clips[: config.limit] if config.limit else clips
    size = shards.SHARD_LABELS
    chunks = [clips[i : i + size] for i in range(0, len(clips), size)]
    jobs = [(config, i, chunk) for i, chunk in enumerate(chunks) if not _finished(folder, i, config)]
    done = len(chunks) - len(jobs)
    if config.workers == 1 or len(jobs) <= 1:
        for job in jobs:
            _work(job)
            done += 1
            progress({"shards": done, "of": len(chunks)})
    else:
        # spawn: a forked child may inherit locks of numerical libraries
        with get_context("spawn").Pool(min(config.workers, len(jobs))) as pool:
            for _ in pool.imap_unordered(_work, jobs):
                done += 1
                progress({"shards": done, "of": len(chunks)})
    skipped, labels = Counter(dataset.skipped), 0
    for number in range(len(chunks)):
        counts = json.loads((folder / f"shard-{number:05d}.json").read_text(encoding="utf-8"))
        skipped.update(counts["skipped"])
        labels += counts["labels"]
    shards.write_manifest(
        folder, dataset=config.dataset, clips=len(clips), labels=labels, skipped=dict(skipped), config=asdict(config)
    )
    contact_sheet(folder)
    return ExtractResult(len(clips), labels, dict(skipped), folder)


def contact_sheet(folder: str | Path) -> Path | None:
    """Draws the first labels of a folder with their contact points; None where there are no labels."""
    from deft_env.prior import overlay

    path = Path(folder) / "contact-sheet.png"
    for found in shards.iterate([folder]):
        if len(found):
            some = found.take(np.arange(min(SHEET_LABELS, len(found))))
            overlay.save_picture(path, overlay.sheet(some.images, some.contacts, captions=some.instructions))
            return path
    return None

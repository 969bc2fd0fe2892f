"""The whole chain without licensed data: synthetic videos -> detector files -> labels -> training -> weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deft_env.files import write_atomically
from deft_env.prior import checkpoint
from deft_env.prior.train import TrainConfig, TrainResult, train
from deft_env.video.extract import ExtractConfig, ExtractResult, extract
from deft_env.video.synthetic import Noise, SyntheticConfig, make_videos

Progress = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class ChainConfig:
    """One run of the chain; every part goes on where it was interrupted.

    Attributes:
        out: folder; gets ``videos/``, ``labels/``, ``network/`` and ``chain.json``. Of both networks the files in
            half precision, as this package ships them, are ``network/affordance-half.safetensors`` and
            ``network/choice.safetensors``; the same configuration writes the same bytes.
        clips: synthetic clips; a few of a hundred give no label.
        tasks, shapes: as in ``SyntheticConfig``; no tasks here means those of its default.
        seed: of everything.
        preset, epochs, batch, lr: of the training (our choice for the small network).
        workers: processes for videos and labels.
        noise: of the imitated detectors.
    """

    out: str
    clips: int = 2000
    tasks: tuple[str, ...] = ()
    shapes: float = 0.3
    seed: int = 0
    preset: str = "small"
    epochs: int = 40
    batch: int = 48
    lr: float = 1.5e-3
    workers: int = 1
    noise: Noise = field(default_factory=Noise)


@dataclass(frozen=True, slots=True)
class ChainResult:
    """What each part gave.

    Attributes:
        videos, labels, training: of the parts.
        half: the network's file in half precision.
        choice: file of the network that tells which thing the words mean, in half precision.
    """

    videos: Mapping[str, int]
    labels: ExtractResult
    training: TrainResult
    half: Path
    choice: Path


def run_chain(config: ChainConfig, progress: Progress = lambda row: None) -> ChainResult:
    """Runs the chain; see each part for its errors."""
    out = Path(config.out)
    chosen: dict[str, Any] = {"tasks": config.tasks} if config.tasks else {}
    videos = make_videos(
        SyntheticConfig(
            out=str(out / "videos"),
            clips=config.clips,
            seed=config.seed,
            shapes=config.shapes,
            workers=config.workers,
            noise=config.noise,
            **chosen,
        ),
        lambda row: progress({"part": "videos", **row}),
    )
    labels = extract(
        ExtractConfig("epic-kitchens", str(out / "videos"), str(out / "labels"), poses="hamer", workers=config.workers),
        lambda row: progress({"part": "labels", **row}),
    )
    settings = TrainConfig(
        data=(str(out / "labels"),),
        out=str(out / "network"),
        preset=config.preset,
        seed=config.seed,
        epochs=config.epochs,
        batch=config.batch,
        lr=config.lr,
    )
    training = train(settings, lambda row: progress({"part": "training", **row}))
    half = training.weights.with_name("affordance-half.safetensors")
    checkpoint.halve(training.weights, half)
    choice = _choice(config, out, lambda row: progress({"part": "choice", **row}))
    summary = {
        "videos": dict(videos),
        "labels": labels.labels,
        "skipped": dict(labels.skipped),
        "weights": str(training.weights),
        "half": str(half),
        "choice": str(choice),
        "validation": dict(training.figures),
        "held_out": _held_out(settings, half),
        "images_per_s": training.images_per_s,
    }
    write_atomically(out / "chain.json", (json.dumps(summary, indent=1) + "\n").encode())
    return ChainResult(videos, labels, training, half, choice)


def _choice(config: ChainConfig, out: Path, progress: Progress) -> Path:
    """Trains which thing the words mean, unless that is done."""
    from deft_env.prior.choice import ChoiceTrainConfig, read_choices, train_choice
    from deft_env.video.extract import open_dataset

    path = out / "network" / "choice.safetensors"
    if not path.is_file():
        videos = ExtractConfig("epic-kitchens", str(out / "videos"), str(out / "labels"), poses="hamer")
        steps = max(2 * config.epochs * config.clips // 240, 2)
        train_choice(
            read_choices(open_dataset(videos)), ChoiceTrainConfig(str(path), steps=steps, seed=config.seed), progress
        )
    return path


def _held_out(settings: TrainConfig, half: Path) -> Mapping[str, Any]:
    """Errors of the halved weights and of constant answers; empty where so few clips leave nothing held out."""
    from deft_env.prior.evaluate import held_out

    try:
        return held_out({"affordance": half}, settings.data, settings.validation)
    except ValueError:
        return {}

"""``deft train``: trains the affordance network on label shards."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from deft_env import paper
from deft_experiments import config as cfg
from deft_experiments import terminal
from deft_experiments.errors import UsageError


@dataclass(frozen=True)
class Args:
    """Trains a network; an interrupted run goes on from its last checkpoint when started again.

    affordance: the network f of the prior. encoder: a small visual encoder by R3M's objective, of which only
    the options --data, --out, --seed, --lr, --steps and --batch count. choice: the network that tells which of several
    things the words mean; same options. speed: no training, but images a second of the affordance network's
    loop beside a plain fp32 loop, and their ratio, in one run; it heeds --preset, --batch and --steps.

    Attributes:
        what: what to train, see above.
        data: folders of label shards, as deft extract writes them; for the encoder one folder of synthetic videos with
            every picture, for the choice one of EPIC-KITCHENS' form with HaMeR poses, for speed none.
        out: folder of weights, checkpoints, log and overlay pictures.
        preset: paper (the paper's sizes) or small (a few MB, for CPUs).
        trunk: first weights of the trunk: random, r3m or resnet18 (the last two need --weights).
        text: stand-in-text, or clip-vit-b-32 (needs --weights clip=PATH).
        weights: NAME=PATH.
        start: a network of the same preset to go on from with these data, such as the shipped one.
        seed: of first weights, order and augmentation.
        epochs: passes over the data; 0 for the paper's.
        steps: steps of the encoder's or the choice's training, or to measure; 0 for each one's default.
        batch: labels a step; 0 for the paper's.
        lr: learning rate of Adam; 0 for the paper's.
        validation: share of the clips held out.
        device: auto, cpu or cuda.
        resume: start anew, and not where an interrupted run of the same configuration stopped.
    """

    what: Annotated[Literal["affordance", "encoder", "choice", "speed"], tyro.conf.Positional]
    data: tuple[Path, ...] = ()
    out: Path = Path("runs/affordance")
    preset: Literal["paper", "small"] = "paper"
    trunk: str = "random"
    text: str = "stand-in-text"
    weights: tuple[str, ...] = ()
    start: Path | None = None
    seed: int = 0
    epochs: int = 0
    steps: int = 0
    batch: int = 0
    lr: float = 0.0
    validation: float = 0.1
    device: str = "auto"
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = True


def show(row: Mapping[str, Any]) -> None:
    """One line of progress of a training."""
    words = [f"epoch {row['epoch']}/{row['epochs']}", f"loss {row['loss']:.3f}", f"{row['images_per_s']:.0f} images/s"]
    if "contact_px" in row:
        words.append(
            f"validation: contact {row['contact_px']:.1f} px, wrist {row['wrist_deg']:.1f}°, "
            f"joints {row['robot_joint_deg']:.1f}°"
        )
    print(", ".join(words), flush=True)


def _encoder(args: Args) -> int:
    from deft_env.encoders.time_contrastive import LEARNING_RATE, EncoderTrainConfig, train_encoder

    if len(args.data) != 1:
        raise UsageError(f"--data: expected one folder of synthetic videos, got {len(args.data)}")
    out = args.out / "time-contrastive.safetensors"
    chosen = {name: getattr(args, name) for name in ("steps", "batch") if getattr(args, name)}
    try:
        train_encoder(
            EncoderTrainConfig(str(args.data[0]), str(out), seed=args.seed, lr=args.lr or LEARNING_RATE, **chosen),
            print,
        )
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    print(f"{out}; use it with: --encoder (or --reward) time-contrastive --weights time-contrastive={out}")
    return 0


def _choice(args: Args) -> int:
    from deft_env.prior.choice import ChoiceTrainConfig, read_choices, train_choice
    from deft_env.video.extract import ExtractConfig, open_dataset

    if len(args.data) != 1:
        raise UsageError(f"--data: expected one folder of videos, got {len(args.data)}")
    out = args.out / "choice.safetensors"
    chosen = {name: getattr(args, name) for name in ("steps", "batch", "lr") if getattr(args, name)}
    try:
        found = read_choices(open_dataset(ExtractConfig("epic-kitchens", str(args.data[0]), "-", poses="hamer")))
        train_choice(found, ChoiceTrainConfig(str(out), seed=args.seed, **chosen), print)
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    print(f"{out}; use it with: --prior affordance --weights choice={out}")
    return 0


def _speed(args: Args) -> int:
    from deft_env.prior import speed

    steps = args.steps or speed.STEPS
    warmup, batch = max(steps // 4, 1), args.batch or paper.AFFORDANCE_BATCH
    with terminal.Progress() as progress, progress.bar("steps", 2 * (steps + warmup)) as advance:
        found = speed.measure(args.preset, batch, steps=steps, warmup=warmup, progress=lambda: advance(1, ""))
    print(
        f"{args.preset} on {found.device}: plain fp32 loop {found.plain_images_per_s:.0f} images/s, "
        f"this one {found.images_per_s:.0f} images/s, ratio {found.ratio:.2f}"
    )
    return 0


def run(args: Args) -> int:
    """Trains, and says where the weights are and how to use them."""
    from deft_env.prior.train import TrainConfig, train

    if args.what == "speed":
        return _speed(args)
    if not args.data:
        raise UsageError("--data: expected at least one folder")
    for folder in args.data:
        if not folder.is_dir():
            raise UsageError(f"--data {folder}: there is no such folder; deft extract makes one")
    if args.what != "affordance":
        return {"encoder": _encoder, "choice": _choice}[args.what](args)
    weights = {name: str(path) for name, path in cfg.parse_weights(args.weights).items()}
    same = ("preset", "trunk", "text", "seed", "validation", "device", "resume")
    try:
        config = TrainConfig(
            tuple(map(str, args.data)),
            str(args.out),
            weights=weights,
            start=str(args.start or ""),
            epochs=args.epochs or paper.AFFORDANCE_EPOCHS,
            batch=args.batch or paper.AFFORDANCE_BATCH,
            lr=args.lr or paper.AFFORDANCE_LR,
            **{name: getattr(args, name) for name in same},
        )
        done = train(config, show)
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    print(f"{done.weights}; use it with: --prior affordance --weights affordance={done.weights}")
    print({name: round(value, 2) for name, value in dataclasses.asdict(done)["figures"].items()})
    return 0

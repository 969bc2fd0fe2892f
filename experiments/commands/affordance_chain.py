"""``deft affordance-chain``: synthetic videos, detector files, labels, training and weights in one command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from deft_env.registries import TASK_WORDS
from deft_experiments.commands import train as train_command
from deft_experiments.errors import UsageError


@dataclass(frozen=True)
class Args:
    """Trains a prior without licensed data; every part goes on where it was interrupted.

    Then: deft tune PickCup --prior affordance --weights affordance=OUT/network/affordance.safetensors

    Attributes:
        out: folder; gets videos, labels, network and chain.json.
        clips: synthetic clips; some give no label.
        tasks: tasks whose TRAIN objects appear; none for all nine. Objects of the test split never do.
        shapes: share of clips with random shapes instead.
        seed: of the videos and the training.
        preset: size of the network.
        epochs: passes over the labels.
        batch: labels a step.
        lr: learning rate of Adam.
        workers: processes that make videos and labels.
    """

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    clips: int = 2000
    tasks: tuple[str, ...] = ()
    shapes: float = 0.3
    seed: int = 0
    preset: Literal["paper", "small"] = "small"
    epochs: int = 40
    batch: int = 48
    lr: float = 1.5e-3
    workers: int = 1


def show(row: Mapping[str, Any]) -> None:
    """One line of progress, of videos only now and then."""
    if row["part"] == "training":
        train_command.show(row)
    elif row["part"] == "labels":
        print(f"labels: shard {row['shards']} of {row['of']}", flush=True)
    elif row["part"] == "choice":
        print(f"choice: step {row['step']} of {row['of']}, loss {row['loss']:.2f}", flush=True)
    elif row["clips"] % 50 == 0 or row["clips"] == row["of"]:
        print(f"videos: clip {row['clips']} of {row['of']}", flush=True)


def run(args: Args) -> int:
    """Runs the chain, and says where the weights are."""
    from deft_env.prior.chain import ChainConfig, run_chain
    from deft_env.sim.render import RenderingUnavailableError

    unknown = [t for t in args.tasks if t not in TASK_WORDS]
    if unknown:
        raise UsageError(f"--tasks: unknown {', '.join(unknown)}; there are: {', '.join(TASK_WORDS)}")
    options = {name: getattr(args, name) for name in Args.__dataclass_fields__ if name != "out"}
    try:
        done = run_chain(ChainConfig(str(args.out), **options), show)
    except (ValueError, OSError, RenderingUnavailableError) as error:
        raise UsageError(str(error)) from error
    print(f"{done.labels.labels} labels from {args.clips} clips; weights: {done.training.weights}, halved: {done.half}")
    print(
        f"next: deft tune PickCup --prior affordance --weights affordance={done.training.weights} choice={done.choice}"
    )
    return 0

"""``deft mock-rig``: the wire-level mocks, backed by the simulated world, for a rehearsal without hardware."""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deft_experiments.errors import UsageError


@dataclass(frozen=True)
class Args:
    """Starts a control box, a hand's bus and a camera's server on loopback, and writes the rig's configuration.

    In another terminal: deft tune PickCup --rig real --rig-config FOLDER/rig.yaml --reward human

    Attributes:
        folder: where rig.yaml and the hand's terminal go.
        task: whose scene stands on the table at first.
        port: TCP port of the arm's command channel (a real box has 502, which needs privileges).
        seed: of random faults.
        fiducial: what the hand wears and holds before the camera, to rehearse deft calibrate: the board, or markers
            with the backs of the fingers or of the thumb in view.
    """

    folder: Path = Path("mock-rig")
    task: str = "PickCup"
    port: int = 15020
    seed: int = 0
    fiducial: Literal["none", "board", "fingers", "thumb"] = "none"


def run(args: Args) -> int:
    """Serves until interrupted."""
    from deft_env.registries import tasks
    from deft_env.registry import UnknownNameError
    from deft_mocks.rig import MockRig

    try:
        tasks.entry(args.task)
    except UnknownNameError as error:
        raise UsageError(f"--task: {error}") from None
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    try:
        rig = MockRig(
            args.task,
            folder=args.folder,
            control_port=args.port,
            seed=args.seed,
            fiducial="" if args.fiducial == "none" else args.fiducial,
        )
        with rig as mock:
            print(f"mock rig ready: --rig real --rig-config {mock.config_path}; Ctrl-C ends it", flush=True)
            while not done.wait(0.5):
                if mock.box.crash is not None:
                    raise RuntimeError("the control box died") from mock.box.crash
    except KeyboardInterrupt:
        pass
    except OSError as error:
        raise UsageError(f"the mock rig cannot listen: {error}; try another --port") from error
    return 0

"""``deft dry-run``: the plan of a grasp on the real rig, checked, printed and drawn; no device is even opened."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import tyro
from numpy.typing import NDArray

from deft_experiments.errors import UsageError

if TYPE_CHECKING:
    from deft_env.rigs.real.rig_motion import Stream


@dataclass(frozen=True)
class Args:
    """Plans one grasp as the real rig would, checks it against the rig's limits, and draws the path.

    Attributes:
        task: such as PickCup.
        rig_config: the rig's YAML, TOML or JSON file.
        grasp: JSON file with the 22 numbers of a grasp; by default a person's grasp of the scene that --seed draws.
        seed: of that scene.
        out: picture to write; "" draws none.
    """

    task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TASK")]
    rig_config: Path
    grasp: Path | None = None
    seed: int = 0
    out: str = "dry-run.png"


def run(args: Args) -> int:
    """Prints the plan; exit code 1 if the rig would refuse it."""
    from deft_env import registries
    from deft_env.episode import EpisodeKey
    from deft_env.registry import UnknownNameError
    from deft_env.rigs.real.rig_config import RealRigConfig, settings
    from deft_env.rigs.real.rig_motion import poses, prepare
    from deft_env.sim import controls

    try:
        task: Any = registries.tasks.load(args.task)()
        s = settings(RealRigConfig(file=str(args.rig_config)))
        wished = _grasp(args.grasp) if args.grasp else task.human_grasp(
            task.draw(EpisodeKey(args.task, "train", "train", args.seed, 0))
        )  # fmt: skip
        plan = controls.plan(wished[None], task.nominal_rotation, task.demonstration, s.timing)
    except (UnknownNameError, ValueError, ImportError) as error:
        raise UsageError(str(error)) from error
    if not plan.ok[0]:
        print(f"refused: {plan.reason[0]}")
        return 1
    stream, violations = prepare(plan, s.timing, s.motion, s.safety)
    T = poses(stream.arm_rad)
    print(f"{args.task}: {len(T)} set points of {stream.period_s * 1000:.0f} ms, played {stream.stretch:.2f} x slower")
    print(f"{'phase':12} {'s':>6} {'speed m/s':>10} {'joint rad/s':>12} {'lowest z m':>11}")
    for name, (a, b) in stream.phases.items():
        step = T[max(a - 1, 0) : b, :3, 3]
        speed = np.linalg.norm(np.diff(step, axis=0), axis=1).max(initial=0.0) / stream.period_s
        joint = np.abs(np.diff(stream.arm_rad[max(a - 1, 0) : b], axis=0)).max(initial=0.0) / stream.period_s
        print(f"{name:12} {(b - a) * stream.period_s:6.2f} {speed:10.3f} {joint:12.2f} {T[a:b, 2, 3].min():11.3f}")
    for violation in violations:
        print(f"refused: {violation}")
    if args.out:
        _draw(Path(args.out), stream, T, s.safety)
        print(f"wrote {args.out}")
    return 1 if violations else 0


def _grasp(path: Path) -> NDArray[np.float64]:
    from deft_env import grasp

    try:
        return grasp.check(json.loads(path.read_text(encoding="utf-8")), "grasp")
    except (OSError, json.JSONDecodeError, TypeError) as error:
        raise ValueError(f"--grasp: expected a JSON list of 22 numbers in {path}: {error}") from None


_HAND_M: Final = 0.08
"""Length of the drawn hand."""


def _draw(path: Path, stream: Stream, T: NDArray[np.float64], limits: Any) -> None:
    """The path of the grasp site from above and from the side, where the hand points, the workspace and the table."""
    from matplotlib.figure import Figure

    from deft_env.rigs.real.rig_motion import poses
    from deft_experiments import images

    above = poses(np.linspace(stream.above_rad, stream.arm_rad[0], 10))
    figure = Figure(figsize=(9.0, 5.4), layout="constrained")
    low, high = np.array(limits.workspace_low_m), np.array(limits.workspace_high_m)
    grasp = stream.phases["close"][0]
    views = ((0, 1, "x (m)", "y (m)", "seen from above"), (0, 2, "x (m)", "z (m)", "seen from the side"))
    for axes, (i, j, across, up, title) in zip(figure.subplots(1, 2), views, strict=True):
        axes.plot(above[:, i, 3], above[:, j, 3], ":", color="grey", label="way there")
        for name, (a, b) in stream.phases.items():
            if name in ("approach", "trajectory"):
                axes.plot(T[a:b, i, 3], T[a:b, j, 3], label=name)
        for at in (0, grasp, len(T) - 1):  # from the wrist to the grasp site, where the fingers point
            tip, back = T[at, (i, j), 3], -_HAND_M * T[at, (i, j), 2]
            axes.annotate("", tip, tip + back, arrowprops={"arrowstyle": "->", "color": "black", "alpha": 0.6})
        axes.plot(*T[grasp, (i, j), 3], "k+", markersize=10, label="grasp")
        box = np.array([[low[i], low[j]], [high[i], low[j]], [high[i], high[j]], [low[i], high[j]], [low[i], low[j]]])
        axes.plot(*box.T, "--", color="tab:green", linewidth=0.8, label="workspace")
        if j == 2:
            axes.axhline(limits.table_z_m, color="saddlebrown", label="table")
        axes.set(xlabel=across, ylabel=up, title=title, aspect="equal")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8)
    images.write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=120))

"""``deft calibrate camera`` and ``deft calibrate hand``: where the camera is, and what the motors do to the fingers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import numpy as np
import tyro
from numpy.typing import NDArray

from deft_experiments.errors import RigError, UsageError

if TYPE_CHECKING:
    from deft_env.rigs.real.calibration.fiducial import Board
    from deft_env.rigs.real.calibration.joint_markers import MarkerConfig
    from deft_env.rigs.real.rig_devices import Devices

Array = NDArray[np.float64]
SHIFT_M: Final = 0.05
TURN_RAD: Final = 0.40
"""How far the hand is moved and turned about the posture that it is calibrated around (our choice)."""


@dataclass(frozen=True)
class Args:
    """Calibrates a device of the real rig.

    camera: fasten a ChArUco board to the hand and bring it into the camera's view (in the arm's manual mode); the arm
    then moves a little around that posture. hand: stick markers on every link and two on the palm, hold the hand in
    view, obliquely from the backs towards the fingertips; the fingers then move through their ranges, the arm does not.
    Where the camera does not see all backs at once, take the fingers and the thumb one after the other
    (``--fingers index middle ring``, then ``--fingers thumb``): pairs are kept beside the output.
    Board and markers are printed with ``--sheet FILE.pdf``, which touches no device.

    Attributes:
        what: camera or hand.
        rig_config: the rig's YAML, TOML or JSON file; its own calibration is not needed.
        sheet: write the page to print instead, A4 in true size: the board (camera) or the links' markers (hand).
        out: file to write; default camera.json or hand.json beside the configuration.
        square_m: printed size of the board's squares.
        marker_m: printed size of the markers, on the board or on the links.
        fingers: which fingers' markers are in view, or on the sheet (hand only).
        yes: do not ask before anything moves.
    """

    what: Annotated[Literal["camera", "hand"], tyro.conf.Positional]
    rig_config: Path | None = None
    sheet: Path | None = None
    out: Path | None = None
    square_m: float = 0.020
    marker_m: float | None = None
    fingers: tuple[Literal["index", "middle", "ring", "thumb"], ...] = ("index", "middle", "ring", "thumb")
    yes: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False


@contextmanager
def devices(path: Path, *, parts: tuple[str, ...]) -> Iterator[Devices]:
    """The rig's devices, of which ``parts`` are opened; calibration files may be missing (``before_calibration``).

    Raises:
        UsageError: for a configuration that cannot be.
        RigError: if a device cannot be opened.
    """
    from deft_env.rigs.real.rig_config import RealRigConfig, before_calibration, settings
    from deft_env.rigs.real.rig_devices import DEVICE_ERRORS, Devices, word
    from deft_env.rigs.real.rig_file import from_mapping, load_file

    try:
        data, _ = before_calibration(load_file(path))
        made = Devices(settings(from_mapping(RealRigConfig, data, str(path))))
    except (ValueError, ImportError) as error:
        raise UsageError(f"--rig-config: {error}") from error
    try:
        if "camera" in parts:
            made.camera.start()
        if "hand" in parts:
            made.hand.open()
        if "arm" in parts:
            made.arm.connect()
        yield made
    except DEVICE_ERRORS as error:
        raise RigError(word(error)) from error
    except ImportError as error:
        raise UsageError(str(error)) from error
    finally:
        made.close()


def around(T: Array) -> list[Array]:
    """Poses of the hand (4, 4) around ``T``: shifted along and turned about every axis, and both at once."""
    from scipy.spatial.transform import Rotation

    out = [T]
    for i in range(3):
        for sign in (-1.0, 1.0):
            for shift, turn in ((0.0, 1.0), (1.0, 0.6)):
                pose = T.copy()
                pose[:3, 3] += np.eye(3)[(i + 1) % 3] * sign * shift * SHIFT_M
                pose[:3, :3] = T[:3, :3] @ Rotation.from_rotvec(np.eye(3)[i] * sign * turn * TURN_RAD).as_matrix()
                out.append(pose)
    return out


def reachable(poses: list[Array], start: Array) -> list[tuple[Array, Array]]:
    """(pose, joints) of the poses that the arm reaches without changing its branch."""
    from deft_env.rigs.real.arm import xarm_kinematics
    from deft_env.sim.kinematics import flange_from_grasp

    out = []
    for T in poses:
        flange = T.copy()
        flange[:3, 3] = flange_from_grasp(T[:3, 3], T[:3, :3])
        q = xarm_kinematics.inverse(flange, start, restarts=0)
        if q is not None and np.abs(q - start).max() < 1.0:
            out.append((T, q))
    return out


def _agreed(args: Args, what: str) -> None:
    if args.yes:
        return
    try:
        answer = input(f"{what} Go on? [y/N] ")
    except EOFError:
        raise UsageError("nobody can answer here; nothing was moved (--yes does not ask)") from None
    if answer.strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was moved")


def _board(args: Args) -> Board:
    from deft_env.rigs.real.calibration.fiducial import Board

    try:
        return Board(square_m=args.square_m, marker_m=0.75 * args.square_m if args.marker_m is None else args.marker_m)
    except ValueError as error:
        raise UsageError(f"--square-m, --marker-m: {error}") from error


def _markers(args: Args) -> MarkerConfig:
    from deft_env.rigs.real.calibration.joint_markers import MarkerConfig

    try:
        return MarkerConfig() if args.marker_m is None else MarkerConfig(size_m=args.marker_m)
    except ValueError as error:
        raise UsageError(f"--marker-m: {error}") from error


def _sheet(args: Args, path: Path, say: Callable[[str], None]) -> None:
    from deft_env.rigs.real.calibration import sheets

    if path.suffix.lower() != ".pdf":
        raise UsageError(f"--sheet: expected a file that ends in .pdf, got {path}")
    try:
        made = (
            sheets.board_sheet(_board(args))
            if args.what == "camera"
            else sheets.marker_sheet(_markers(args), args.fingers)
        )
        sheets.save(made, path)
    except (ValueError, ImportError, OSError) as error:
        raise UsageError(f"--sheet: {error}") from error
    say(f"wrote {path}; print it at 100 %, and measure the ruler on it: {sheets.RULER_MM} mm")


def _camera(args: Args, rig_config: Path, out: Path, say: Callable[[str], None]) -> None:
    from deft_env.rigs.real.calibration import hand_eye
    from deft_env.rigs.real.calibration.error import CalibrationError
    from deft_env.rigs.real.rig_motion import poses, way_there

    board = _board(args)
    with devices(rig_config, parts=("camera", "arm")) as d:
        here = d.arm.joints()
        if board.detect(d.capture().rgb) is None:
            raise RigError("camera: the board is not in view; bring it there in the arm's manual mode, then try again")
        todo: list[tuple[Array, Array]] = []
        for T, q in reachable(around(poses(here[None])[0]), here):
            broken = way_there(todo[-1][1] if todo else here, q, d.settings.safety)
            if broken:
                say(f"a posture is left out: {broken[0]}")
            else:
                todo.append((T, q))
        _agreed(
            args, f"The arm will move to {len(todo)} postures within {SHIFT_M} m and {TURN_RAD} rad of where it is."
        )
        joints = {i: q for i, (_, q) in enumerate(todo)}
        count = iter(range(len(todo)))

        def move(_: Array) -> Array:
            d.go(joints[next(count)])
            return poses(d.arm.joints()[None])[0]

        views, frames = hand_eye.collect_views(d.capture, move, [T for T, _ in todo], board, report=say)
    try:
        found = hand_eye.solve_camera(views, frames[0].K if frames else np.eye(3))
    except CalibrationError as error:
        raise RigError(f"camera: {error}") from error
    found.save(out)
    from PIL import Image

    worst = int(np.argmax(found.view_rms_px))
    picture = out.with_suffix(".png")
    Image.fromarray(hand_eye.picture(frames[worst].rgb, views[worst], found)).save(picture)
    say(
        f"{len(views)} views, {found.method}: reprojection {found.rms_px:.2f} px rms, "
        f"held out {found.held_out_rms_px:.2f} px"
    )
    say(f"wrote {out} and {picture} (the worst view: circles seen, crosses predicted)")


def _hand(args: Args, rig_config: Path, out: Path, say: Callable[[str], None]) -> None:
    from deft_env import grasp
    from deft_env.rigs.real.calibration import motor_recording
    from deft_env.rigs.real.calibration.error import CalibrationError
    from deft_env.rigs.real.calibration.joint_markers import MarkerObserver, markers_of
    from deft_env.rigs.real.calibration.motor_pairs import MotorPairs

    file = out.with_name(f"{out.stem}.pairs.npz")
    try:
        known = MotorPairs.load(file) if file.exists() else MotorPairs.none()
    except ValueError as error:
        raise UsageError(str(error)) from error
    with devices(rig_config, parts=("camera", "hand")) as d:
        order = [d.hand.names.index(name) for name in grasp.MOTOR_NAMES]
        back = [grasp.MOTOR_NAMES.index(name) for name in d.hand.names]
        motors = {m.name: m for m in d.settings.hand.motors}
        targets = motor_recording.motor_targets(
            [motors[n].low_rad for n in grasp.MOTOR_NAMES],
            [motors[n].high_rad for n in grasp.MOTOR_NAMES],
            fingers=args.fingers,
        )
        observer = MarkerObserver(d.capture, _markers(args))
        _agreed(args, f"The fingers will move through {len(targets)} poses, the arm stays where it is.")
        d.hand.enable()
        d.hand.move(d.motors(np.zeros(16)))
        needed = markers_of(args.fingers)
        hidden = [name for name in observer.open() if name in needed]
        if hidden:
            raise RigError(
                f"hand: markers not seen with the hand open: {', '.join(hidden)}; light, focus, distance? "
                "Fingers whose backs are out of view can wait for a take of their own: --fingers"
            )

        def move(target: Array) -> Array:
            found: Any = d.hand.move(target[back]).state.position_rad[order]
            return np.asarray(found)

        pairs = motor_recording.record_motor_pairs(move, observer, targets, report=say)
    known = known.with_take(args.fingers, *pairs)
    known.save(file)
    if known.missing():
        say(f"wrote {file}; still to be seen: {', '.join(known.missing())}. Turn the hand and take them with --fingers")
        return
    try:
        found = motor_recording.fit_motor_map(known.motors_rad, known.joints_rad, report=say)
    except CalibrationError as error:
        raise RigError(f"hand: {error}") from error
    found.save(out)
    for r in found.residuals:
        say(
            f"{r.joint:16} {r.pairs:4} pairs  rms {r.rms_rad:.3f}  held out {r.held_out_rms_rad:.3f}  "
            f"max {r.max_rad:.3f} rad"
        )
    say(f"wrote {out}; name it in the configuration: hand.motor_map")


def run(args: Args) -> int:
    """Moves, looks, solves, saves; with ``--sheet``, writes the page alone."""
    say = lambda text: print(text, file=sys.stderr, flush=True)  # noqa: E731
    if args.sheet is not None:
        _sheet(args, args.sheet, say)
        return 0
    if args.rig_config is None:
        raise UsageError("--rig-config rig.yaml is missing; only --sheet FILE.pdf does without")
    out = args.out or args.rig_config.with_name(f"{args.what}.json")
    (_camera if args.what == "camera" else _hand)(args, args.rig_config, out, say)
    return 0

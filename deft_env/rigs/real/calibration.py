"""Calibration of a real rig: where the camera is (hand-eye), and how motors move the fingers (motor map).

The camera stands fixed above the robot and a board is fastened to the hand ("eye to hand"): from views of the board at
known hand poses, OpenCV's closed-form solvers give a first answer, and least squares on the reprojection error the
final one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env import grasp
from deft_env.episode import Frame, generator
from deft_env.rigs.real.fiducial import Board, board_pose, invert, load_cv2, project, transform
from deft_env.rigs.real.motor_map import MotorMap

Array = NDArray[np.float64]

METHODS: Final = ("TSAI", "PARK", "HORAUD", "ANDREFF", "DANIILIDIS")
MIN_VIEWS: Final = 6
MIN_TURN_RAD: Final = 0.15
"""Turning about a second axis, rms over views, without which the answer is not determined (our choice)."""
FORMAT: Final = "deft-camera-calibration-1"
MAX_FILE_BYTES: Final = 200_000


class CalibrationError(RuntimeError):
    """The views or pairs do not suffice, or contradict each other; the message says what to record instead."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One view of the board: T_base_hand (4, 4) when it was taken, corners (n, 2) px and (n, 3) m on the board."""

    T_base_hand: Array
    points_px: Array
    points_m: Array


@dataclass(frozen=True, slots=True, eq=False)
class CameraCalibration:
    """Where the camera is.

    Attributes:
        T_base_cam: (4, 4) camera to robot base.
        T_hand_board: (4, 4) board to hand.
        K: (3, 3) intrinsics of the views.
        method: the closed-form solver that gave the start.
        rms_px, max_px: reprojection error over all corners.
        view_rms_px: (V,) of each view.
        held_out_rms_px: of each third of the views, under a calibration from the others.
    """

    T_base_cam: Array
    T_hand_board: Array
    K: Array
    method: str
    rms_px: float
    max_px: float
    view_rms_px: Array
    held_out_rms_px: float

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes JSON, first to a temporary name."""
        data = {"format": FORMAT, "method": self.method}
        numbers: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__ if name != "method"}
        data.update({name: np.asarray(value).tolist() for name, value in numbers.items()})
        target = Path(path)
        temporary = target.with_name(target.name + ".tmp")
        temporary.write_text(json.dumps(data, indent=1, allow_nan=False))
        temporary.replace(target)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads what ``save`` wrote; the file is not trusted.

        Raises:
            ValueError: if it is missing, too large, of another format, or not a rigid transform.
        """
        file = Path(path)
        if not file.is_file():
            raise ValueError(f"{file}: there is no such file; `deft calibrate camera` writes it")
        if file.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"{file}: expected below {MAX_FILE_BYTES} bytes, got {file.stat().st_size}")
        try:
            data = json.loads(file.read_text())
            if not isinstance(data, dict) or data.get("format") != FORMAT:
                raise ValueError(f"expected format {FORMAT!r}")
            if data["method"] not in METHODS:
                raise ValueError(f"method: expected one of {METHODS}, got {data['method']!r}")
            arrays = {name: np.array(data[name], dtype=np.float64) for name in cls.__slots__ if name != "method"}
            shapes = {"T_base_cam": (4, 4), "T_hand_board": (4, 4), "K": (3, 3)}
            for name, value in arrays.items():
                if not np.isfinite(value).all() or value.shape != shapes.get(name, value.shape):
                    raise ValueError(f"{name}: wrong shape or not finite")
            for name in ("T_base_cam", "T_hand_board"):
                R, last = arrays[name][:3, :3], arrays[name][3]
                rigid = np.abs(R @ R.T - np.eye(3)).max() < 1e-6 and np.linalg.det(R) > 0
                if not rigid or not np.array_equal(last, [0, 0, 0, 1]):
                    raise ValueError(f"{name}: not a rigid transform")
            scalars = [float(arrays[name]) for name in ("rms_px", "max_px", "held_out_rms_px")]
            poses = (arrays["T_base_cam"], arrays["T_hand_board"], arrays["K"])
            return cls(
                *poses, str(data["method"]), scalars[0], scalars[1], np.atleast_1d(arrays["view_rms_px"]), scalars[2]
            )
        except (ValueError, KeyError, TypeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"{file}: not a camera calibration ({error}); run 'deft calibrate camera'") from error


def collect_views(
    capture: Callable[[], Frame],
    move: Callable[[Array], Array],
    poses: Iterable[Array],
    board: Board,
    *,
    report: Callable[[str], None] = lambda text: None,
) -> tuple[list[View], list[Frame]]:
    """Moves the hand from pose to pose and looks for the board.

    Args:
        capture: takes a picture, once the hand stands still.
        move: takes T_base_hand (4, 4), moves there and returns where the hand really is.
        poses: to visit, safe ones.
        board: on the hand.
        report: hears one line a pose.

    Returns:
        The views with a board, and their frames.
    """
    views, frames = [], []
    for i, pose in enumerate(poses):
        actual = np.array(move(pose), dtype=np.float64)
        frame = capture()
        found = board.detect(frame.rgb)
        if found is None:
            report(f"pose {i + 1}: board not seen")
            continue
        report(f"pose {i + 1}: {len(found[0])} corners")
        views.append(View(actual, *found))
        frames.append(frame)
    return views, frames


def solve_camera(views: Sequence[View], K: ArrayLike) -> CameraCalibration:
    """Finds the camera from views of a board on the hand.

    Every closed-form solver is tried; the one with the smallest reprojection error starts the least squares.

    Raises:
        CalibrationError: with fewer than 6 views, or if the hand hardly turned about a second axis.
    """
    K = np.asarray(K, dtype=np.float64)
    if len(views) < MIN_VIEWS:
        raise CalibrationError(f"views: at least {MIN_VIEWS} with the board in sight needed, got {len(views)}")
    turned = _second_turn(views)
    if turned < MIN_TURN_RAD:
        raise CalibrationError(
            f"views: the hand turned about a second axis by only {turned:.2f} rad rms, at least {MIN_TURN_RAD} needed; "
            "record poses that roll, pitch and yaw"
        )
    method, camera, board = _solve(views, K)
    errors = [_errors(view, camera, board, K) for view in views]
    squares = [np.sum(e**2, axis=1) for e in errors]
    return CameraCalibration(
        camera,
        board,
        K,
        method,
        float(np.sqrt(np.concatenate(squares).mean())),
        float(np.sqrt(np.concatenate(squares).max())),
        np.array([np.sqrt(s.mean()) for s in squares]),
        _held_out(views, K),
    )


def _held_out(views: Sequence[View], K: Array) -> float:
    """Reprojection error, rms px, on each third of the views under a calibration from the others."""
    squares = []
    for fold in range(3):
        _, camera, board = _solve([v for i, v in enumerate(views) if i % 3 != fold], K)
        squares += [np.sum(_errors(v, camera, board, K) ** 2, axis=1) for v in views[fold::3]]
    return float(np.sqrt(np.concatenate(squares).mean()))


def _second_turn(views: Sequence[View]) -> float:
    """Rms turning about the second strongest axis, relative to the first view, rad."""
    from scipy.spatial.transform import Rotation

    first = views[0].T_base_hand[:3, :3]
    turns = Rotation.from_matrix([first.T @ v.T_base_hand[:3, :3] for v in views]).as_rotvec()
    return float(np.linalg.svd(turns, compute_uv=False)[1] / np.sqrt(len(views)))


def _errors(view: View, camera: Array, board: Array, K: Array) -> Array:
    T_cam_board = invert(camera) @ view.T_base_hand @ board
    return project(view.points_m, T_cam_board, K) - view.points_px


def _solve(views: Sequence[View], K: Array) -> tuple[str, Array, Array]:
    """(method, T_base_cam, T_hand_board): best closed form, then least squares on pixels."""
    from scipy.optimize import least_squares
    from scipy.spatial.transform import Rotation

    cv2 = load_cv2()
    seen = [board_pose(v.points_px, v.points_m, K) for v in views]
    # For a fixed camera the solver's "gripper to base" is the hand's inverse pose, and its answer camera to base.
    hands = [invert(v.T_base_hand) for v in views]
    best: tuple[float, str, Array, Array] | None = None
    for method in METHODS:
        try:
            R, t = cv2.calibrateHandEye(
                [T[:3, :3] for T in hands],
                [T[:3, 3] for T in hands],
                [T[:3, :3] for T in seen],
                [T[:3, 3] for T in seen],
                method=getattr(cv2, f"CALIB_HAND_EYE_{method}"),
            )
        except cv2.error:
            continue
        if not np.isfinite(R).all() or not np.isfinite(t).all():
            continue
        camera = transform(R, np.ravel(t))
        boards = [hand @ camera @ board for hand, board in zip(hands, seen, strict=True)]
        rotation = Rotation.from_matrix([b[:3, :3] for b in boards]).mean().as_matrix()
        board = transform(rotation, np.median([b[:3, 3] for b in boards], axis=0))
        cost = float(np.mean([np.sum(_errors(v, camera, board, K) ** 2, axis=1).mean() for v in views]))
        if np.isfinite(cost) and (best is None or cost < best[0]):
            best = (cost, method, camera, board)
    if best is None:
        raise CalibrationError("views: no solver found a camera; record more, and more different, poses")
    _, method, camera, board = best

    def unpack(x: Array) -> tuple[Array, Array]:
        a = transform(Rotation.from_rotvec(x[:3]).as_matrix() @ camera[:3, :3], camera[:3, 3] + x[3:6])
        b = transform(board[:3, :3] @ Rotation.from_rotvec(x[6:9]).as_matrix(), board[:3, 3] + x[9:])
        return a, b

    def residuals(x: Array) -> Array:
        a, b = unpack(x)
        return np.concatenate([_errors(v, a, b, K).ravel() for v in views])

    # A soft loss: one badly seen view must not move the camera.
    found = least_squares(residuals, np.zeros(12), loss="soft_l1", f_scale=1.0, x_scale=[0.1] * 12)
    camera, board = unpack(found.x)
    return method, camera, board


def picture(rgb: NDArray[np.uint8], view: View, calibration: CameraCalibration) -> NDArray[np.uint8]:
    """The view with corners as seen (green circles), as predicted (red crosses), and the board's axes."""
    cv2 = load_cv2()
    out = np.ascontiguousarray(rgb).copy()
    T = invert(calibration.T_base_cam) @ view.T_base_hand @ calibration.T_hand_board
    for (x, y), (u, v) in zip(view.points_px, project(view.points_m, T, calibration.K), strict=True):
        cv2.circle(out, (round(float(x)), round(float(y))), 5, (0, 255, 0), 1)
        cv2.drawMarker(out, (round(float(u)), round(float(v))), (255, 0, 0), cv2.MARKER_CROSS, 6, 1)
    axes = np.vstack([np.zeros(3), 0.03 * np.eye(3)])
    ends = project(axes, T, calibration.K)
    for end, color in zip(ends[1:], ((255, 0, 0), (0, 255, 0), (0, 0, 255)), strict=True):
        cv2.line(out, tuple(np.rint(ends[0]).astype(int).tolist()), tuple(np.rint(end).astype(int).tolist()), color, 2)
    error = float(
        np.sqrt(
            np.mean(np.sum(_errors(view, calibration.T_base_cam, calibration.T_hand_board, calibration.K) ** 2, axis=1))
        )
    )
    cv2.putText(out, f"{error:.2f} px", (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 0), 2)
    return np.asarray(out, dtype=np.uint8)


# --- motor map --------------------------------------------------------------------------------------------------------
OUTLIER_RAD: Final = 0.15
MAX_OUTLIERS: Final = 0.2
"""A sighting this far off may be wrong; if more than this share of a joint's are, something else is (our choice)."""
_ROUNDS: Final = 5
FINGERS_APART: Final = (("index", "middle", "ring"), ("thumb",))
"""Fingers that sweep together; the others rest open, so that thumb and fingers hardly touch while recording."""


def motor_targets(
    low_rad: ArrayLike,
    high_rad: ArrayLike,
    *,
    fingers: Sequence[str] = grasp.FINGER_NAMES,
    steps: int = 12,
    mixed: int = 60,
    seed: int = 0,
) -> Array:
    """Motor angles (N, 12) to visit for the map: each motor up and down alone, then mixed poses.

    Args:
        low_rad: (12,) in the order of ``grasp.MOTOR_NAMES``.
        high_rad: (12,).
        fingers: that move; the others rest open.
        steps: poses of each sweep, one way; both ways are visited, since tendons have hysteresis.
        mixed: random poses per group of fingers, which show the couplings.
        seed: of the random poses.
    """
    low, high = grasp.check(low_rad, "low_rad", 12), grasp.check(high_rad, "high_rad", 12)
    if np.any(low >= high) or steps < 2 or mixed < 0:
        raise ValueError("low_rad, high_rad, steps: expected low below high and at least 2 steps")
    if not fingers or not set(fingers) <= set(grasp.FINGER_NAMES):
        raise ValueError(f"fingers: expected some of {grasp.FINGER_NAMES}, got {tuple(fingers)}")
    rest = np.clip(np.zeros(12), low, high)
    random, rows = generator("calibration", "motors", seed), []
    there_and_back = np.concatenate([np.linspace(0, 1, steps), np.linspace(1, 0, steps)])
    for group in FINGERS_APART:
        chosen = [3 * grasp.FINGER_NAMES.index(finger) for finger in group if finger in fingers]
        if not chosen:
            continue
        for kind in range(3):
            for share in there_and_back:
                row = rest.copy()
                for base in chosen:
                    row[base + kind] = low[base + kind] + share * (high - low)[base + kind]
                rows.append(row)
        for _ in range(mixed):
            row = rest.copy()
            for base in chosen:
                row[base : base + 3] = random.uniform(low[base : base + 3], high[base : base + 3])
            rows.append(row)
    return np.array(rows)


def record_motor_pairs(
    move: Callable[[Array], Array],
    observe: Callable[[], Array],
    targets: ArrayLike,
    *,
    report: Callable[[str], None] = lambda text: None,
) -> tuple[Array, Array]:
    """Visits motor targets and notes what the fingers do.

    Args:
        move: takes motor angles (12,), waits until they have settled and returns where the motors really are.
        observe: returns the joint angles seen (16,), NaN for a hidden joint.
        targets: (N, 12) from ``motor_targets``.
        report: hears one line a pose.

    Returns:
        Motor angles (N, 12) and joint angles (N, 16), for ``MotorMap.fit``.
    """
    wanted = grasp.check(targets, "targets", 12)
    motors, joints = [], []
    for i, target in enumerate(wanted):
        motors.append(grasp.check(move(target), "move's answer", 12))
        seen = np.asarray(observe(), dtype=np.float64)
        if seen.shape != (16,):
            raise ValueError(f"observe: expected shape (16,), got {seen.shape}")
        joints.append(seen)
        report(f"pose {i + 1} of {len(wanted)}: {int(np.isfinite(seen).sum())} of 16 joints seen")
    return np.array(motors), np.array(joints)


def fit_motor_map(
    motors_rad: ArrayLike,
    joints_rad: ArrayLike,
    *,
    max_rms_rad: float = 0.1,
    report: Callable[[str], None] = lambda text: None,
) -> MotorMap:
    """Fits the map, leaves out what was seen wrongly, and refuses a map that predicts badly on poses left out.

    A marker's picture may be that of another pose, and a finger may touch another, which no average mends: sightings
    further off than ``OUTLIER_RAD`` and five times what is usual of their joint are left out, and the map is fitted
    again.

    Args:
        motors_rad: (N, 12).
        joints_rad: (N, 16), NaN where a joint was hidden.
        max_rms_rad: greatest held-out error.
        report: hears one line a joint of which something was left out.

    Raises:
        CalibrationError: naming the joints whose held-out error is too large, or of which too much was seen wrongly.
    """
    motors, joints = np.asarray(motors_rad, dtype=np.float64), np.array(joints_rad, dtype=np.float64)
    try:
        found = MotorMap.fit(motors, joints)
        seen = np.isfinite(joints).sum(axis=0)
        for _ in range(_ROUNDS):
            error = np.abs(joints - found.predict(motors))
            usual = 1.4826 * np.nanmedian(error, axis=0)
            wrong = error > np.maximum(OUTLIER_RAD, 5.0 * usual)
            if not wrong.any():
                break
            joints[wrong] = np.nan
            found = MotorMap.fit(motors, joints)
    except ValueError as error:
        raise CalibrationError(f"the pairs do not suffice: {error}") from error
    lost = seen - np.isfinite(joints).sum(axis=0)
    for name, few, many in zip(grasp.JOINT_NAMES, lost, seen, strict=True):
        if few > MAX_OUTLIERS * many:
            raise CalibrationError(
                f"{name}: {few} of {many} sightings do not fit the others; larger markers, or nearer"
            )
        if few:
            report(f"{name}: left out {few} of {many} sightings, which do not fit the others")
    bad = [f"{r.joint} {r.held_out_rms_rad:.3f}" for r in found.residuals if r.held_out_rms_rad > max_rms_rad]
    if bad:
        raise CalibrationError(
            f"held-out error above {max_rms_rad} rad: {', '.join(bad)}; check tendons, markers and the order of motors"
        )
    return found

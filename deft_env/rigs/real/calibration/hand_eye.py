"""Hand-eye calibration: where the camera is, from views of a board on the hand.

The camera stands fixed above the robot and a board is fastened to the hand ("eye to hand"): from views of the board at
known hand poses, OpenCV's closed-form solvers give a first answer, and least squares on the reprojection error the
final one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env.episode import Frame
from deft_env.rigs.real.calibration.error import CalibrationError
from deft_env.rigs.real.calibration.fiducial import Board, board_pose, invert, load_cv2, project, transform
from deft_env.rigs.real.camera.calibration import METHODS, CameraCalibration

Array = NDArray[np.float64]

MIN_VIEWS: Final = 6
MIN_TURN_RAD: Final = 0.15
"""Turning about a second axis, rms over views, without which the answer is not determined (our choice)."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One view of the board: T_base_hand (4, 4) when it was taken, corners (n, 2) px and (n, 3) m on the board."""

    T_base_hand: Array
    points_px: Array
    points_m: Array


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

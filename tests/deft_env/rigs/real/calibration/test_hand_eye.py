"""Hand-eye calibration on exact, noisy and rendered views of a board, and its file."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("cv2", reason="needs the extra 'hardware' (opencv-python-headless)")

import cv2

from deft_env.episode import Frame, generator
from deft_env.rigs.real.calibration.error import CalibrationError
from deft_env.rigs.real.calibration.fiducial import Board, board_pose, invert, project, transform
from deft_env.rigs.real.calibration.hand_eye import View, collect_views, picture, solve_camera
from deft_env.rigs.real.camera import CameraCalibration

pytestmark = pytest.mark.skipif(
    not hasattr(cv2, "calibrateHandEye"), reason="needs OpenCV 4 (opencv-python-headless>=4.10,<5)"
)

K = np.array([[612.0, 0, 322.0], [0, 614.0, 238.0], [0, 0, 1]])
BOARD = Board()
T_BASE_CAM = transform(Rotation.from_euler("xyz", [np.pi - 0.3, 0.1, -1.5]).as_matrix(), np.array([0.5, 0.1, 0.8]))
T_HAND_BOARD = transform(Rotation.from_euler("xyz", [0.2, -0.4, 2.0]).as_matrix(), np.array([0.03, -0.05, 0.02]))


def hand_poses(n: int, turn_rad: float = 0.5, seed: int = 0) -> list[np.ndarray]:
    random = generator("test", "hand eye", seed)
    out = []
    for _ in range(n):
        R = Rotation.from_rotvec(random.uniform(-turn_rad, turn_rad, 3)).as_matrix()
        T_cam_board = transform(R, np.append(random.uniform(-0.08, 0.02, 2), random.uniform(0.3, 0.5)))
        out.append(T_BASE_CAM @ T_cam_board @ invert(T_HAND_BOARD))
    return out


def exact_views(poses: list[np.ndarray], noise_px: float = 0.0) -> list[View]:
    points = np.array([[x, y, 0.0] for y in (0.02, 0.04, 0.06) for x in (0.02, 0.04, 0.06, 0.08)])
    random = generator("test", "corners")
    return [
        View(
            T,
            project(points, invert(T_BASE_CAM) @ T @ T_HAND_BOARD, K) + noise_px * random.normal(size=(12, 2)),
            points,
        )
        for T in poses
    ]


def off(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """(m, rad) between two poses."""
    d = invert(a) @ b
    return float(np.linalg.norm(d[:3, 3])), float(np.linalg.norm(Rotation.from_matrix(d[:3, :3]).as_rotvec()))


def test_exact_views_give_the_exact_camera() -> None:
    found = solve_camera(exact_views(hand_poses(10)), K)
    assert max(off(found.T_base_cam, T_BASE_CAM)) < 1e-6
    assert max(off(found.T_hand_board, T_HAND_BOARD)) < 1e-6
    assert found.rms_px < 1e-5


def test_noisy_corners_give_an_honest_error() -> None:
    found = solve_camera(exact_views(hand_poses(15), noise_px=0.3), K)
    shift, turn = off(found.T_base_cam, T_BASE_CAM)
    assert shift < 0.003
    assert turn < 0.005
    assert found.rms_px == pytest.approx(0.3 * np.sqrt(2), rel=0.15)
    assert found.rms_px < found.held_out_rms_px < 1.5
    assert found.max_px > found.rms_px


def test_one_bad_view_stands_out_and_does_not_move_the_camera() -> None:
    views = exact_views(hand_poses(15), noise_px=0.1)
    views[4] = View(views[9].T_base_hand, views[4].points_px, views[4].points_m)
    found = solve_camera(views, K)
    assert found.view_rms_px.argmax() == 4
    assert off(found.T_base_cam, T_BASE_CAM)[0] < 0.01


@pytest.mark.parametrize("axis", [0, 2])
def test_turning_about_one_axis_only_is_refused(axis) -> None:
    poses = hand_poses(8, turn_rad=0.0)
    for i, T in enumerate(poses):
        T[:3, :3] = T[:3, :3] @ Rotation.from_rotvec(np.eye(3)[axis] * 0.1 * i).as_matrix()
    with pytest.raises(CalibrationError, match="second axis"):
        solve_camera(exact_views(poses), K)


def test_too_few_views_are_refused() -> None:
    with pytest.raises(CalibrationError, match="at least 6"):
        solve_camera(exact_views(hand_poses(5)), K)


@pytest.fixture(scope="module")
def rendered(paste, shoot):
    tile = BOARD.image(60)
    size = (BOARD.columns * BOARD.square_m, BOARD.rows * BOARD.square_m)
    at = [np.eye(4)]

    def move(T: np.ndarray) -> np.ndarray:
        at[0] = T
        return T

    def capture() -> Frame:
        if at[0][0, 3] > 90:  # out of sight
            return shoot(lambda c: c, K, T_BASE_CAM)
        T = invert(T_BASE_CAM) @ at[0] @ T_HAND_BOARD
        return shoot(lambda c: paste(c, tile, size, T, K), K, T_BASE_CAM)

    away = np.eye(4)
    away[0, 3] = 99.0
    heard: list[str] = []
    views, frames = collect_views(capture, move, [away, *hand_poses(12)], BOARD, report=heard.append)
    return views, frames, heard


def test_boards_are_found_in_pictures(rendered) -> None:
    views, frames, heard = rendered
    assert heard[0] == "pose 1: board not seen"
    assert len(views) == len(frames) == 12
    for view in views:
        truth = project(view.points_m, invert(T_BASE_CAM) @ view.T_base_hand @ T_HAND_BOARD, K)
        assert np.sqrt(np.mean((view.points_px - truth) ** 2)) < 0.3
        pose = board_pose(view.points_px, view.points_m, K)
        assert off(pose, invert(T_BASE_CAM) @ view.T_base_hand @ T_HAND_BOARD)[0] < 0.01


def test_camera_from_pictures_and_its_picture(rendered, tmp_path) -> None:
    views, frames, _ = rendered
    found = solve_camera(views, K)
    shift, turn = off(found.T_base_cam, T_BASE_CAM)
    assert shift < 0.003
    assert turn < 0.006
    assert found.rms_px < 0.5
    drawn = picture(frames[0].rgb, views[0], found)
    x, y = np.rint(views[0].points_px[0]).astype(int)
    assert drawn.shape == (480, 640, 3)
    assert (drawn[y - 8 : y + 9, x - 8 : x + 9] == (0, 255, 0)).all(axis=2).any()
    assert (drawn[y - 8 : y + 9, x - 8 : x + 9] == (255, 0, 0)).all(axis=2).any()
    file = tmp_path / "camera.json"
    found.save(file)
    back = CameraCalibration.load(file)
    np.testing.assert_array_equal(back.T_base_cam, found.T_base_cam)
    assert (back.method, back.rms_px) == (found.method, found.rms_px)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d.update(format="x"),
        lambda d: d["T_base_cam"][0].__setitem__(0, 2.0),
        lambda d: d["T_base_cam"].pop(),
        lambda d: d.update(method="MAGIC"),
        lambda d: d.update(rms_px=None),
        lambda d: d["T_base_cam"][3].__setitem__(0, 0.5),
    ],
)
def test_spoilt_calibrations_are_refused(tmp_path, spoil) -> None:
    file = tmp_path / "camera.json"
    solve_camera(exact_views(hand_poses(8)), K).save(file)
    data = json.loads(file.read_text())
    spoil(data)
    file.write_text(json.dumps(data))
    with pytest.raises(ValueError, match="not a camera calibration"):
        CameraCalibration.load(file)


def test_boards_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="marker_m"):
        Board(marker_m=0.03)
    with pytest.raises(ValueError, match="dictionary"):
        Board(dictionary="APRIL").image()

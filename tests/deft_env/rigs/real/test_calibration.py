"""Hand-eye calibration on rendered boards, the recording of the motor map, and joint angles from markers."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("cv2", reason="needs the extra 'hardware' (opencv-python-headless)")

import cv2

from deft_env import grasp
from deft_env.episode import Frame, generator
from deft_env.rigs.real.calibration import (
    CalibrationError,
    CameraCalibration,
    View,
    collect_views,
    fit_motor_map,
    motor_targets,
    picture,
    record_motor_pairs,
    solve_camera,
)
from deft_env.rigs.real.fiducial import Board, Sighting, board_pose, invert, project, transform
from deft_env.rigs.real.joint_markers import (
    LINKS,
    PALMS,
    MarkerConfig,
    MarkerObserver,
    choose,
    joint_angles,
    markers_of,
)
from deft_env.rigs.real.motor_map import MotorMap
from deft_env.rigs.real.motor_pairs import MotorPairs

pytestmark = pytest.mark.skipif(
    not hasattr(cv2, "calibrateHandEye"), reason="needs OpenCV 4 (opencv-python-headless>=4.10,<5)"
)

K = np.array([[612.0, 0, 322.0], [0, 614.0, 238.0], [0, 0, 1]])
BOARD = Board()
T_BASE_CAM = transform(Rotation.from_euler("xyz", [np.pi - 0.3, 0.1, -1.5]).as_matrix(), np.array([0.5, 0.1, 0.8]))
T_HAND_BOARD = transform(Rotation.from_euler("xyz", [0.2, -0.4, 2.0]).as_matrix(), np.array([0.03, -0.05, 0.02]))


def paste(canvas: np.ndarray, tile: np.ndarray, size_m: tuple[float, float], T_cam: np.ndarray) -> np.ndarray:
    """Draws a flat picture whose upper left corner is the origin of ``T_cam``, x right, y down, on a 2x canvas."""
    scale = np.diag([size_m[0] / tile.shape[1], size_m[1] / tile.shape[0], 1.0])
    centre = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    double = np.array([[2, 0, -0.5], [0, 2, -0.5], [0, 0, 1.0]])  # from the edge to OpenCV's pixel centres
    H = double @ K @ T_cam[:3, [0, 1, 3]] @ scale @ centre
    size = (canvas.shape[1], canvas.shape[0])
    return np.where(
        cv2.warpPerspective(np.ones_like(tile), H, size) > 0,
        cv2.warpPerspective(tile, H, size, flags=cv2.INTER_LINEAR),
        canvas,
    )


def shoot(draw) -> Frame:
    canvas = draw(np.full((960, 1280), 160, np.uint8))
    grey = cv2.resize(canvas, (640, 480), interpolation=cv2.INTER_AREA)
    return Frame(np.repeat(grey[:, :, None], 3, axis=2), np.full((480, 640), 0.5, np.float32), K, T_BASE_CAM)


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
def rendered():
    tile = BOARD.image(60)
    size = (BOARD.columns * BOARD.square_m, BOARD.rows * BOARD.square_m)
    at = [np.eye(4)]

    def move(T: np.ndarray) -> np.ndarray:
        at[0] = T
        return T

    def capture() -> Frame:
        if at[0][0, 3] > 90:  # out of sight
            return shoot(lambda c: c)
        return shoot(lambda c: paste(c, tile, size, invert(T_BASE_CAM) @ at[0] @ T_HAND_BOARD))

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


# --- motor map --------------------------------------------------------------------------------------------------------
LOW, HIGH = grasp.joints_to_motors(grasp.LOW[grasp.FINGERS]), grasp.joints_to_motors(grasp.HIGH[grasp.FINGERS])


def test_targets_visit_everything_and_keep_thumb_and_fingers_apart() -> None:
    targets = motor_targets(LOW, HIGH)
    np.testing.assert_allclose(targets.min(axis=0), LOW)
    np.testing.assert_allclose(targets.max(axis=0), HIGH)
    rest = np.clip(0.0, LOW, HIGH)
    fingers, thumb = (targets[:, :9] != rest[:9]).any(axis=1), (targets[:, 9:] != rest[9:]).any(axis=1)
    assert not np.any(fingers & thumb)
    np.testing.assert_array_equal(targets, motor_targets(LOW, HIGH))


def test_recording_a_hand_and_fitting_its_map() -> None:
    random, at = generator("test", "recording"), [np.zeros(12)]

    def move(motors: np.ndarray) -> np.ndarray:
        at[0] = motors + 0.002  # where the motors really are
        return at[0]

    def observe() -> np.ndarray:
        joints = grasp.motors_to_joints(at[0])
        joints[grasp.JOINT_NAMES.index("ring_dip")] += 0.1 * at[0][grasp.MOTOR_NAMES.index("ring_forward")]
        joints += 0.02 * random.standard_normal(16)
        joints[random.random(16) < 0.1] = np.nan
        return joints

    heard: list[str] = []
    motors, joints = record_motor_pairs(move, observe, motor_targets(LOW, HIGH), report=heard.append)
    assert len(heard) == len(motors) == len(joints)
    np.testing.assert_allclose(motors, motor_targets(LOW, HIGH) + 0.002)
    found = fit_motor_map(motors, joints)
    assert found.coupling[
        grasp.JOINT_NAMES.index("ring_dip"), grasp.MOTOR_NAMES.index("ring_forward")
    ] == pytest.approx(0.1, abs=0.03)
    wish = np.full(16, 0.4)
    assert np.abs(found.invert(wish) - MotorMap.nominal().invert(wish)).max() < 0.1
    with pytest.raises(CalibrationError, match=r"held-out error above 0\.005 rad: index_side"):
        fit_motor_map(motors, joints, max_rms_rad=0.005)
    with pytest.raises(CalibrationError, match="do not suffice"):
        fit_motor_map(motors[:30], joints[:30])


# --- markers ----------------------------------------------------------------------------------------------------------
def links(q: np.ndarray, stuck: dict[str, np.ndarray], palm: np.ndarray) -> dict[str, np.ndarray]:
    """Rotations of all links at joint angles ``q``; ``stuck`` is how each marker was put on."""
    # The thumb's back looks the other way, and so does the marker that it is seen against.
    palms = {"palm": palm, "palm_thumb": palm @ Rotation.from_euler("X", np.pi).as_matrix()}
    out = dict(palms)
    for f, finger in enumerate(grasp.FINGER_NAMES):
        side, forward, pip, dip = q[4 * f : 4 * f + 4]
        turns = (
            Rotation.from_euler("ZY", [-side if finger == "thumb" else side, forward]),
            Rotation.from_euler("Y", pip),
            Rotation.from_euler("Y", dip),
        )
        parent = palms[PALMS[finger]]
        for link, turn in zip(LINKS, turns, strict=True):
            parent = parent @ turn.as_matrix() @ stuck.get(f"{finger}_{link}", np.eye(3))
            out[f"{finger}_{link}"] = parent
    return out


def test_joint_angles_from_rotations() -> None:
    random = generator("test", "links")
    palm = Rotation.random(random_state=3).as_matrix()
    stuck = {"ring_middle": Rotation.from_rotvec([0.05, -0.1, 0.08]).as_matrix()}
    q = random.uniform(grasp.LOW[grasp.FINGERS], grasp.HIGH[grasp.FINGERS])
    opened = links(np.zeros(16), stuck, np.eye(3))
    angles = joint_angles(links(q, stuck, palm), opened)
    np.testing.assert_allclose(angles[:10], q[:10], atol=1e-9)
    np.testing.assert_allclose(angles[12:], q[12:], atol=1e-9)
    seen = links(q, stuck, palm)
    del seen["middle_middle"]
    angles = joint_angles(seen, opened)
    hidden = [grasp.JOINT_NAMES[j] for j in np.flatnonzero(np.isnan(angles))]
    assert hidden == ["middle_pip", "middle_dip"]


def test_a_link_that_turned_about_no_joint_counts_as_hidden() -> None:
    opened, now = links(np.zeros(16), {}, np.eye(3)), links(np.full(16, 0.3), {}, np.eye(3))
    now["index_middle"] = now["index_middle"] @ Rotation.from_euler("X", 0.6).as_matrix()
    angles = joint_angles(now, opened)
    assert np.isnan(angles[2])
    assert np.isfinite(angles[[0, 1, *range(4, 16)]]).all()


def _seen(rotations: dict[str, np.ndarray], mirrored: set[str], worse_px: float) -> dict[str, tuple[Sighting, ...]]:
    """Each marker with the pose that a small picture confuses it with: tilted the other way against the camera.

    For those in ``mirrored`` the wrong pose fits better by ``worse_px``; for the others the right one does.
    """
    out = {}
    for name, R in rotations.items():
        # Mirror the marker's normal about the line of sight (z), keeping what it looks like.
        n = R[:, 2]
        axis = np.cross(n, [0.0, 0.0, 1.0])
        tilt = np.arctan2(np.linalg.norm(axis), -n[2])
        other = Rotation.from_rotvec(-2 * tilt * axis / max(float(np.linalg.norm(axis)), 1e-9)).as_matrix() @ R
        wrong = name in mirrored
        right, left = (
            Sighting(transform(M, np.zeros(3)), 0.1 + worse_px * bad) for M, bad in ((R, wrong), (other, not wrong))
        )
        out[name] = tuple(sorted((right, left), key=lambda s: s.error_px))
    return out


def test_of_two_poses_those_are_taken_that_make_a_hand() -> None:
    random = generator("test", "mirrored")
    # The camera looks along +z at backs that face it obliquely, from aside.
    palm = Rotation.from_euler("yxz", [0.4, np.pi - 0.6, 0.3]).as_matrix()
    links_of_fingers = {
        name for name in links(np.zeros(16), {}, palm) if name in markers_of(("index", "middle", "ring"))
    }
    opened = choose(
        _seen({n: R for n, R in links(np.zeros(16), {}, palm).items() if n in links_of_fingers}, {"ring_middle"}, 0.1)
    )
    truth = links(np.zeros(16), {}, palm)
    assert all(np.allclose(opened[name], truth[name]) for name in links_of_fingers)
    for _ in range(20):
        q = random.uniform(grasp.LOW[grasp.FINGERS], grasp.HIGH[grasp.FINGERS]) * np.tile([1.0, 0.5, 0.5, 0.5], 4)
        now = {n: R for n, R in links(q, {}, palm).items() if n in links_of_fingers}
        mirrored = set(random.choice(sorted(links_of_fingers), 2, replace=False))
        angles = joint_angles(choose(_seen(now, mirrored, 0.1), opened), opened)
        np.testing.assert_allclose(angles[:12], q[:12], atol=1e-6)


def test_takes_of_pairs_add_up_and_replace_each_other(tmp_path) -> None:
    ones, twos = np.ones((3, 12)), np.full((2, 12), 2.0)
    pairs = MotorPairs.none().with_take(("index", "middle", "ring"), ones, np.full((3, 16), 0.1))
    assert pairs.missing() == ("thumb",)
    pairs = pairs.with_take(("thumb",), twos, np.full((2, 16), 0.2))
    assert pairs.missing() == ()
    assert np.isnan(pairs.joints_rad[:3, 12:]).all()
    assert np.isnan(pairs.joints_rad[3:, :12]).all()
    pairs = pairs.with_take(("thumb",), twos, np.full((2, 16), 0.3))
    assert len(pairs.motors_rad) == 5
    assert (pairs.joints_rad[3:, 12:] == 0.3).all()
    file = tmp_path / "hand.pairs.npz"
    pairs.save(file)
    np.testing.assert_array_equal(MotorPairs.load(file).joints_rad, pairs.joints_rad)
    for content in (b"no archive", b""):
        file.write_bytes(content)
        with pytest.raises(ValueError, match="not a recording of motors and joints"):
            MotorPairs.load(file)
    np.savez(file, motors_rad=np.zeros((2, 12)), joints_rad=np.zeros((3, 16)))
    with pytest.raises(ValueError, match="expected finite"):
        MotorPairs.load(file)


def test_sightings_that_do_not_fit_are_left_out_and_too_many_are_refused() -> None:
    motors = motor_targets(LOW, HIGH, steps=8, mixed=30)
    joints = grasp.motors_to_joints(motors) + 0.005 * generator("test", "outliers").standard_normal((len(motors), 16))
    spoilt, heard = joints.copy(), []
    spoilt[::40, 5] += 1.1
    found = fit_motor_map(motors, spoilt, report=heard.append)
    assert heard == [
        f"middle_forward: left out {len(spoilt[::40])} of {len(spoilt)} sightings, which do not fit the others"
    ]
    assert found.residuals[5].held_out_rms_rad < 0.02
    spoilt[::3, 5] += 1.1
    with pytest.raises(CalibrationError, match=r"middle_forward"):
        fit_motor_map(motors, spoilt)


def test_observer_sees_a_rendered_finger() -> None:
    config = MarkerConfig(size_m=0.018)
    words = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    angle = [0.0]

    def capture() -> Frame:
        def draw(canvas: np.ndarray) -> np.ndarray:
            for name, shift, turn in (("palm", -0.03, 0.0), ("index_proximal", 0.03, angle[0])):
                tile = np.full((160, 160), 255, np.uint8)
                tile[20:140, 20:140] = cv2.aruco.generateImageMarker(words, config.ids[name], 120)
                # Markers look at the camera: x right, y up, z towards it, tilted so that no pose is ambiguous.
                R = Rotation.from_euler("x", np.pi - 0.5).as_matrix() @ Rotation.from_euler("Y", turn).as_matrix()
                T = transform(R, np.array([shift, 0.0, 0.2]))
                corner = np.diag([1.0, -1.0, -1.0, 1.0])
                corner[:3, 3] = [-0.012, 0.012, 0.0]  # the tile has a white rim of 3 mm
                canvas = paste(canvas, tile, (0.024, 0.024), T @ corner)
            return canvas

        return shoot(draw)

    observer = MarkerObserver(capture, config, pictures=1)
    with pytest.raises(RuntimeError, match="open"):
        observer()
    missing = observer.open()
    assert "palm" not in missing
    assert "ring_distal" in missing
    for angle[0] in (0.2, 0.6):
        seen = observer()
        assert seen[grasp.JOINT_NAMES.index("index_forward")] == pytest.approx(angle[0], abs=0.08)
        assert seen[grasp.JOINT_NAMES.index("index_side")] == pytest.approx(0.0, abs=0.08)
        assert np.isnan(seen[2:]).all()

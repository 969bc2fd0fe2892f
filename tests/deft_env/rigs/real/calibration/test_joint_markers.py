"""Joint angles from markers: from rotations, from ambiguous poses, from pictures."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("cv2", reason="needs the extra 'hardware' (opencv-python-headless)")

import cv2

from deft_env import grasp
from deft_env.episode import Frame, generator
from deft_env.rigs.real.calibration.fiducial import Sighting, transform
from deft_env.rigs.real.calibration.joint_markers import (
    LINKS,
    PALMS,
    MarkerConfig,
    MarkerObserver,
    choose,
    joint_angles,
    markers_of,
)

pytestmark = pytest.mark.skipif(
    not hasattr(cv2, "calibrateHandEye"), reason="needs OpenCV 4 (opencv-python-headless>=4.10,<5)"
)

K = np.array([[612.0, 0, 322.0], [0, 614.0, 238.0], [0, 0, 1]])


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


def test_observer_sees_a_rendered_finger(paste, shoot) -> None:
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
                canvas = paste(canvas, tile, (0.024, 0.024), T @ corner, K)
            return canvas

        return shoot(draw, K, np.eye(4))

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

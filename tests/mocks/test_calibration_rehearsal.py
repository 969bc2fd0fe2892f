"""``deft calibrate`` through the vendors' SDKs: fiducials in the mock camera's pictures, known answers recovered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("xarm")
pytest.importorskip("dynamixel_sdk")
pytest.importorskip("cv2", reason="needs the extra 'hardware' (opencv-python-headless)")

import cv2

from deft_env import grasp
from deft_env.rigs.real.calibration.fiducial import detect_markers, invert
from deft_env.rigs.real.calibration.joint_markers import MarkerConfig, markers_of
from deft_env.rigs.real.calibration.motor_pairs import MotorPairs
from deft_env.rigs.real.camera import CameraCalibration
from deft_env.rigs.real.hand import MotorMap
from deft_env.sim import world
from deft_experiments.cli import main
from deft_mocks import fiducials
from deft_mocks.fiducials import T_HAND_BOARD, posture
from deft_mocks.rig import MockRig

pytestmark = pytest.mark.skipif(
    not hasattr(cv2, "calibrateHandEye"), reason="needs OpenCV 4 (opencv-python-headless>=4.10,<5)"
)


def _off(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """(mm, degrees) between two poses."""
    d = invert(a) @ b
    turn = np.linalg.norm(Rotation.from_matrix(d[:3, :3]).as_rotvec())
    return float(1e3 * np.linalg.norm(d[:3, 3])), float(np.degrees(turn))


def test_the_camera_is_found_where_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "camera.json"
    with MockRig(folder=tmp_path / "rig", fiducial="board") as mock:
        words = ["calibrate", "camera", "--rig-config", str(mock.config_path), "--out", str(out), "--yes"]
        assert main(words) == 0, capsys.readouterr().err
        assert mock.at_rest()
    found = CameraCalibration.load(out)
    assert len(found.view_rms_px) >= 12
    assert found.rms_px <= found.held_out_rms_px < 0.2
    shift_mm, turn_deg = _off(world.ego_pose(), found.T_base_cam)
    assert shift_mm < 0.5
    assert turn_deg < 0.05
    shift_mm, turn_deg = _off(T_HAND_BOARD, found.T_hand_board)
    assert shift_mm < 0.5
    assert turn_deg < 0.1
    assert out.with_suffix(".png").stat().st_size > 10_000
    said = capsys.readouterr().err
    assert f"reprojection {found.rms_px:.2f} px rms, held out {found.held_out_rms_px:.2f} px" in said


@pytest.mark.parametrize(("fiducial", "fingers"), [("fingers", ("index", "middle", "ring")), ("thumb", ("thumb",))])
def test_markers_are_seen_and_sit_as_the_driver_expects(fiducial: fiducials.Fiducial, fingers: tuple[str, ...]) -> None:
    with MockRig(fiducial=fiducial) as mock:
        rgb, _ = mock.see()
    config, K = MarkerConfig(), world.camera_matrix()
    found = detect_markers(rgb, K, config.size_m, config.dictionary)
    assert {config.ids[name] for name in markers_of(fingers)} <= set(found)
    # The open hand: all markers on the fingers' backs look the same way, x to the tips.
    x = np.stack([found[config.ids[name]][0].T_cam_marker[:3, 0] for name in markers_of(fingers)[1:]])
    z = np.stack([found[config.ids[name]][0].T_cam_marker[:3, 2] for name in markers_of(fingers)[1:]])
    assert (x @ x.T).min() > 0.9
    assert (z @ z.T).min() > 0.9
    assert z[:, 2].max() < 0, "to the camera"


@pytest.mark.slow
def test_the_motor_map_is_found_in_two_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ratio = np.array([1.0, 1.1, 0.9, 1.05, 0.95, 1.2, 1.0, 1.0, 1.0, 0.9, 1.1, 1.15])
    out = tmp_path / "hand.json"
    takes: tuple[tuple[fiducials.Fiducial, list[str]], ...] = (
        ("fingers", ["index", "middle", "ring"]), ("thumb", ["thumb"]),
    )  # fmt: skip
    for fiducial, fingers in takes:
        assert not out.exists(), "half a hand is no map"
        with MockRig(folder=tmp_path / "rig", fiducial=fiducial, motor_per_joint=ratio) as mock:
            words = ["calibrate", "hand", "--rig-config", str(mock.config_path), "--out", str(out), "--yes"]
            assert main([*words, "--fingers", *fingers]) == 0, capsys.readouterr().err
            assert mock.at_rest()
    found = MotorMap.load(out)
    motors = np.random.default_rng(0).uniform(found.motor_low_rad, found.motor_high_rad, (500, 12))
    error = found.predict(motors) - grasp.motors_to_joints(motors / ratio)
    rms = dict(zip(grasp.JOINT_NAMES, np.sqrt((error**2).mean(axis=0)), strict=True))
    # Where the middle finger and the thumb touch, their last joints are elsewhere than motors say.
    free = [name for name in rms if name not in ("middle_pip", "middle_dip", "thumb_pip", "thumb_dip")]
    assert max(rms[name] for name in free) < 0.03, rms
    assert max(rms.values()) < 0.1, rms
    assert MotorPairs.load(tmp_path / "hand.pairs.npz").missing() == ()


def test_unknown_fiducials_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 'board', 'fingers' or 'thumb'"):
        posture("foot")  # type: ignore[arg-type]

"""Recording how motors move the fingers: poses to visit, a map that holds, wrong sightings, takes that add up."""

import numpy as np
import pytest

from deft_env import grasp
from deft_env.episode import generator
from deft_env.rigs.real.calibration.error import CalibrationError
from deft_env.rigs.real.calibration.motor_pairs import MotorPairs
from deft_env.rigs.real.calibration.motor_recording import fit_motor_map, motor_targets, record_motor_pairs
from deft_env.rigs.real.hand import MotorMap

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

"""The motor map: laws of inversion, recovery of a known hand, and distrust of files."""

import json

import numpy as np
import pytest

from deft_env import grasp
from deft_env.episode import generator
from deft_env.rigs.real.hand.motor_map import COUPLED, DRIVERS, MotorMap


def truth(motors: np.ndarray) -> np.ndarray:
    """An invented hand: saturating curves, one finger backwards, tendons that pull on their neighbours."""
    gain = 1.0 + 0.1 * np.cos(np.arange(16))
    gain[4] *= -1.0
    coupling = np.where(COUPLED, 0.08 * np.sin(np.arange(16 * 12)).reshape(16, 12), 0.0)
    q = motors @ coupling.T
    for j, d in enumerate(DRIVERS):
        q[:, j] += gain[j] * (motors[:, d] + 0.15 * np.sin(1.5 * motors[:, d]))
    return q


def pairs(n: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = generator("test", "motor map", seed)
    low, high = grasp.joints_to_motors(grasp.LOW[grasp.FINGERS]), grasp.joints_to_motors(grasp.HIGH[grasp.FINGERS])
    motors = random.uniform(low, high, (n, 12))
    return motors, truth(motors) + noise * random.standard_normal((n, 16))


@pytest.fixture(scope="module")
def fitted() -> MotorMap:
    return MotorMap.fit(*pairs(240, 0.01))


def test_fit_recovers_a_coupled_hand_and_says_how_well(fitted: MotorMap) -> None:
    motors, joints = pairs(500, 0.0, seed=1)
    motors = np.clip(motors, fitted.motor_low_rad, fitted.motor_high_rad)
    joints = truth(motors)
    assert np.sqrt(np.mean((fitted.predict(motors) - joints) ** 2)) < 0.008
    for r in fitted.residuals:
        assert 0.006 < r.rms_rad < 0.014  # the noise that went in
        assert r.rms_rad < r.held_out_rms_rad < 0.016


def test_every_joint_is_strictly_monotone_in_its_motor(fitted: MotorMap) -> None:
    for j, d in enumerate(DRIVERS):
        motors = np.tile(0.5 * (fitted.motor_low_rad + fitted.motor_high_rad), (50, 1))
        motors[:, d] = np.linspace(fitted.motor_low_rad[d], fitted.motor_high_rad[d], 50)
        steps = np.diff(fitted.predict(motors)[:, j])
        assert np.all(steps > 0) or np.all(steps < 0)


def test_a_finger_that_saturates_or_falls_back_is_still_mapped_monotonically() -> None:
    motors, joints = pairs(200, 0.02)
    for j in (2, 6):
        joints[:, j] = np.minimum(motors[:, DRIVERS[j]], 0.5) - 0.2 * np.maximum(motors[:, DRIVERS[j]] - 0.9, 0)
    found = MotorMap.fit(motors, joints)
    assert np.all(np.diff(found.values_rad[[2, 6]]) > 0)
    assert found.residuals[2].rms_rad < 0.06


def test_invert_undoes_predict(fitted: MotorMap) -> None:
    motors = generator("inverse").uniform(fitted.motor_low_rad, fitted.motor_high_rad, (200, 12))
    np.testing.assert_allclose(fitted.invert(fitted.predict(motors)), motors, atol=1e-6)


def test_invert_is_the_nearest_pose_and_stays_in_range(fitted: MotorMap) -> None:
    random = generator("nearest")
    wish = random.uniform(-0.5, 1.8, (20, 16))
    best = fitted.invert(wish)
    assert np.all(best >= fitted.motor_low_rad)
    assert np.all(best <= fitted.motor_high_rad)
    cost = ((fitted.predict(best) - wish) ** 2).sum(axis=1)
    for _ in range(200):
        other = np.clip(best + 0.05 * random.standard_normal(best.shape), fitted.motor_low_rad, fitted.motor_high_rad)
        assert np.all(((fitted.predict(other) - wish) ** 2).sum(axis=1) >= cost - 1e-9)


def test_any_batch_gives_the_same_numbers(fitted: MotorMap) -> None:
    wish = generator("batch").uniform(0.0, 1.0, (7, 16))
    alone = np.stack([fitted.invert(row) for row in wish])
    np.testing.assert_array_equal(fitted.invert(wish), alone)


def test_nominal_map_is_the_projection_of_grasp() -> None:
    nominal = MotorMap.nominal()
    wish = generator("nominal").uniform(grasp.LOW[grasp.FINGERS], grasp.HIGH[grasp.FINGERS], (100, 16))
    motors = nominal.invert(wish)
    np.testing.assert_allclose(motors, grasp.joints_to_motors(wish), atol=1e-9)
    np.testing.assert_allclose(nominal.predict(motors), grasp.motors_to_joints(motors), atol=1e-9)
    assert nominal.source == "nominal"


def test_hidden_joints_are_left_out_and_too_few_are_refused() -> None:
    motors, joints = pairs(60, 0.0)
    joints[::3, 5] = np.nan
    assert MotorMap.fit(motors, joints).residuals[5].pairs == 40
    joints[5:, 5] = np.nan
    with pytest.raises(ValueError, match="middle_forward"):
        MotorMap.fit(motors, joints)


def test_a_motor_that_never_moved_is_named() -> None:
    motors, joints = pairs(60, 0.0)
    motors[:, 4] = 0.3
    with pytest.raises(ValueError, match="middle_forward"):
        MotorMap.fit(motors, joints)


def test_save_and_load(tmp_path, fitted: MotorMap) -> None:
    file = tmp_path / "map.json"
    fitted.save(file)
    back = MotorMap.load(file)
    for name in ("knots_rad", "values_rad", "coupling"):
        np.testing.assert_array_equal(getattr(back, name), getattr(fitted, name))
    assert back.residuals == fitted.residuals
    assert [p.name for p in tmp_path.iterdir()] == ["map.json"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d.update(format="other"),
        lambda d: d.pop("coupling"),
        lambda d: d["motors"].reverse(),
        lambda d: d["values_rad"][3].__setitem__(4, 99.0),
        lambda d: d["knots_rad"][0].__setitem__(0, float("nan")),
        lambda d: d["coupling"][0].__setitem__(11, 0.5),
        lambda d: d["knots_rad"].append([0.0]),
        lambda d: d.update(residuals=[{"joint": "x"}]),
    ],
)
def test_spoilt_files_are_refused(tmp_path, fitted: MotorMap, spoil) -> None:
    file = tmp_path / "map.json"
    fitted.save(file)
    data = json.loads(file.read_text())
    spoil(data)
    file.write_text(json.dumps(data))
    with pytest.raises(ValueError, match="not a motor map"):
        MotorMap.load(file)


def test_huge_files_are_refused_unread(tmp_path) -> None:
    file = tmp_path / "map.json"
    file.write_bytes(b" " * 1_000_001)
    with pytest.raises(ValueError, match="below"):
        MotorMap.load(file)

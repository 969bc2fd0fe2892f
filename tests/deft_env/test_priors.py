"""Simulated and heuristic priors, and the segmentation of the latter."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from deft_env import grasp, registries, testing
from deft_env.episode import EpisodeKey, Frame
from deft_env.prior import Prior, PriorFailureError
from deft_env.prior.heuristic import HeuristicPrior, half_closed, palm_down_wrist
from deft_env.prior.segmentation import base_points, box_centre_m, segment
from deft_env.prior.simulated import SimulatedPrior, dependent_error
from deft_env.rigs.rig import Frames, PriorError, SceneTruth
from deft_mocks.landscape import LandscapeRig

NAMES = ("simulated", "heuristic", "heuristic-run", "heuristic-palm-down")
RIG = LandscapeRig()
TASK = RIG.task("PickCup")


@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str) -> None:
    prior = registries.make_prior(name)
    assert prior.name == name
    testing.check_prior(prior, LandscapeRig)


def truth_frames(error: PriorError, descriptor: np.ndarray, keys: list[EpisodeKey]) -> Frames:
    truth = SceneTruth("cup", np.full(grasp.DIM, 0.3), descriptor, error)

    def render(_: int) -> Frame:
        raise AssertionError("the simulated prior looks at no picture")

    return Frames(keys, render, [truth] * len(keys))


def test_the_simulated_prior_is_its_formula() -> None:
    rng = np.random.default_rng(0)
    common, dependent = rng.normal(size=(2, grasp.DIM))
    descriptor, zero = rng.normal(size=3), np.zeros(grasp.DIM)
    keys = testing.keys_of("PickCup", 2)
    xi = SimulatedPrior()(truth_frames(PriorError(common, dependent, zero), descriptor, keys), TASK)
    expected = 0.3 + grasp.SIGMA * (common + dependent * dependent_error("PickCup", descriptor))
    np.testing.assert_array_equal(xi, [expected, expected])


def test_a_better_simulated_prior_errs_the_same_way_by_less() -> None:
    frames = RIG.reset_batch(testing.keys_of("PickCup", 4))
    assert frames.truths is not None
    human = np.array([truth.human_grasp for truth in frames.truths])
    whole = SimulatedPrior().predict(frames, TASK) - human
    np.testing.assert_allclose(SimulatedPrior(scale=0.25).predict(frames, TASK) - human, 0.25 * whole, atol=1e-12)
    np.testing.assert_array_equal(SimulatedPrior(scale=0).predict(frames, TASK), human)
    assert np.abs(whole).max() > 0.1
    wrong: Any
    for wrong in (-0.5, float("inf"), float("nan"), True, "1"):
        with pytest.raises(ValueError, match="scale"):
            SimulatedPrior(scale=wrong)


def test_perception_noise_has_its_size_and_its_own_stream() -> None:
    zero = np.zeros(grasp.DIM)
    keys = [EpisodeKey("PickCup", "train", "train", 0, k) for k in range(400)]
    xi = SimulatedPrior()(truth_frames(PriorError(zero, zero, np.full(grasp.DIM, 0.5)), zero[:3], keys), TASK)
    z = (xi - 0.3) / grasp.SIGMA
    assert abs(z.std() - 0.5) < 0.02
    assert abs(z.mean()) < 0.02
    assert len(np.unique(z[:, 0])) == len(keys)


def test_the_dependent_error_has_zero_mean_and_unit_rms() -> None:
    descriptors = np.random.default_rng(1).normal(size=(4000, 4))
    g = np.stack([dependent_error("PickCup", d) for d in descriptors])
    np.testing.assert_allclose(g.mean(axis=0), 0.0, atol=0.06)
    np.testing.assert_allclose(np.sqrt((g**2).mean(axis=0)), 1.0, atol=0.05)


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=6))
def test_the_dependent_error_is_smooth(values: list[float]) -> None:
    d = np.array(values)
    step = dependent_error("PickCup", d + 1e-4 / np.sqrt(d.size)) - dependent_error("PickCup", d)
    assert np.abs(step).max() < 2e-4


def test_tasks_err_in_their_own_way() -> None:
    d = np.array([0.5, -1.0])
    assert not np.allclose(dependent_error("PickCup", d), dependent_error("PickSpoon", d))
    assert not dependent_error("PickCup", np.zeros(0)).any()


def test_the_heuristic_finds_the_blob() -> None:
    frames = RIG.reset_batch(testing.keys_of("PickCup", 6))
    xi = HeuristicPrior()(frames, TASK)
    assert frames.truths is not None
    for row, truth in zip(xi, frames.truths, strict=True):
        place = [truth.parameters[name] for name in ("x_m", "y_m", "height_m")]
        np.testing.assert_allclose(row[grasp.MU], place, atol=0.0012)
        np.testing.assert_array_equal(row[grasp.FINGERS], half_closed())


def test_half_closed_is_half_way_and_executable() -> None:
    fingers = half_closed()
    np.testing.assert_allclose(fingers[1::4], grasp.HIGH[grasp.FINGERS][1::4] / 2)
    whole = np.concatenate([[0.4, 0.0, 0.1, 0.0, 0.0, 0.0], fingers])
    np.testing.assert_allclose(grasp.executable(whole), whole)


def test_rotations_of_the_heuristic() -> None:
    keys = [EpisodeKey("PickCup", "train", role, s, k) for role in ("train", "eval") for s in (0, 1) for k in (0, 1)]
    frames = RIG.reset_batch(keys)
    wrists = {r: HeuristicPrior(r)(frames, TASK)[:, grasp.WRIST] for r in ("episode", "run", "palm-down")}  # type: ignore[arg-type]
    assert len(np.unique(wrists["episode"], axis=0)) == len(keys)
    assert len(np.unique(wrists["run"], axis=0)) == 2
    np.testing.assert_array_equal(wrists["run"][0], wrists["run"][5])
    np.testing.assert_allclose(wrists["palm-down"], 0.0, atol=1e-12)
    assert np.abs(wrists["episode"]).max() <= grasp.WRIST_LIMIT_RAD
    with pytest.raises(ValueError, match="rotation"):
        HeuristicPrior("spin")  # type: ignore[arg-type]


@given(st.floats(-np.pi, np.pi), st.floats(0, 1.4), st.floats(-np.pi, np.pi))
def test_palm_down_faces_the_table_by_the_shortest_way(spin: float, tilt: float, heading: float) -> None:
    nominal = Rotation.from_euler("ZYZ", [heading, tilt, spin]).as_matrix() @ np.diag([1.0, -1.0, -1.0])
    wrist = palm_down_wrist(nominal)
    turned = grasp.wrist_to_rotation(wrist, nominal)
    np.testing.assert_allclose(turned[:, 2], [0.0, 0.0, -1.0], atol=1e-9)
    assert Rotation.from_matrix(turned @ nominal.T).magnitude() == pytest.approx(tilt, abs=1e-6)


def test_palm_down_needs_a_palm_that_can_face_down() -> None:
    with pytest.raises(ValueError, match="quarter turn"):
        palm_down_wrist(np.eye(3))


def test_an_empty_table_is_said_not_guessed() -> None:
    frame = RIG.reset_batch(testing.keys_of("PickCup", 1))[0]
    frame.depth_m[:] = 1.0
    keys = testing.keys_of("PickCup", 1)
    with pytest.raises(PriorFailureError, match=r"PickCup/train/train/0/0: nothing of at least"):
        HeuristicPrior()(Frames(keys, lambda _: frame), TASK)


def test_segmentation_survives_holes_noise_and_small_dirt() -> None:
    frames = RIG.reset_batch(testing.keys_of("PickCup", 1))
    frame = frames[0]
    clean = segment(frame)
    g = np.random.default_rng(0)
    frame.depth_m[:] += g.normal(0, 0.001, frame.depth_m.shape).astype(np.float32)
    frame.depth_m[g.random(frame.depth_m.shape) < 0.02] = 0.0
    frame.depth_m[110:114, 300:304] = 0.9  # 4 x 4 px of dirt, met first from the top
    found = segment(frame)
    assert np.abs(np.subtract(found.box, clean.box)).max() <= 1
    np.testing.assert_allclose(box_centre_m(frame, found), box_centre_m(frame, clean), atol=0.003)


def test_points_of_the_table_lie_on_the_table() -> None:
    frame = RIG.reset_batch(testing.keys_of("PickCup", 1))[0]
    points = base_points(frame)
    np.testing.assert_allclose(points[0, 0, 2], 0.0, atol=1e-6)
    frame.depth_m[0, 0] = 0.0
    assert np.isnan(base_points(frame)[0, 0]).all()


@pytest.mark.parametrize(
    ("value", "words"),
    [(np.zeros((1, 21)), "22 entries"), (np.full((1, 22), np.nan), "finite"), (np.zeros((2, 22)), "shape"),
     (np.full((1, 22), 2.5), "mu_x of row 0 is 2.500 m")],
)  # fmt: skip
def test_a_broken_prior_is_named(value: Any, words: str) -> None:
    class Broken(Prior):
        name = "broken"

        def predict(self, frames: Frames, task: Any) -> Any:
            return value

    with pytest.raises(ValueError, match=rf"prior 'broken'.*{words}"):
        Broken()(RIG.reset_batch(testing.keys_of("PickCup", 1)), TASK)


def test_segmentation_lifting_and_observation_count_pixels_from_the_edge():
    """One point, three ways: the point map of the segmentation, lifting, and the observation's own K."""
    from deft_env import observation
    from deft_env.prior import lifting

    depth = np.full((480, 640), 0.8, np.float32)
    K = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])
    frame = Frame(np.zeros((480, 640, 3), np.uint8), depth, K, np.eye(4))
    centre = np.array([200.5, 100.5])  # of pixel (200, 100)
    point = lifting.lift(frame, centre).point_base_m
    assert np.allclose(base_points(frame)[100, 200], point, atol=1e-6)
    small = observation.intrinsics(frame) @ (point / point[2])
    assert np.allclose(small[:2], (centre - [80, 0]) * observation.SIZE / 480)

"""The landscape rig: the rig's contract in every shape, and that each knob does what it says."""

from typing import Any

import numpy as np
import pytest

from deft_env import grasp, testing
from deft_env.bandit import Bandit
from deft_env.episode import EpisodeKey, Status
from deft_env.registries import TASK_WORDS
from deft_mocks.landscape import LandscapeRig, render
from deft_mocks.landscape_surface import SHAPES, LandscapeConfig, altitude
from deft_mocks.landscape_task import LIFT_M

ZERO = np.zeros((1, grasp.DIM))


def deviation(**entries: float) -> np.ndarray:
    out = ZERO.copy()
    for name, value in entries.items():
        out[0, grasp.NAMES.index(name)] = value
    return out


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_contract(shape: Any, noise: float) -> None:
    testing.check_rig(lambda: LandscapeRig(LandscapeConfig(shape=shape, noise=noise)), pictures=shape == "bowl")


@pytest.mark.parametrize("task", TASK_WORDS)
def test_it_plays_every_task(task: str) -> None:
    testing.check_task(LandscapeRig().task(task))
    bandit = Bandit(task, rig="landscape")
    bandit.show([bandit.key(0, 0)])
    assert bandit.play(ZERO).outcomes[0].status is Status.COMPLETED
    assert bandit.stand_ins == ("rig landscape", "prior simulated", "reward oracle")


@pytest.mark.parametrize("shape", SHAPES)
def test_the_best_grasp_is_the_top(shape: Any) -> None:
    config = LandscapeConfig(shape=shape)
    common = np.full(grasp.DIM, 1.0)
    assert altitude(ZERO, config, common)[0] == 1.0
    others = np.random.default_rng(0).normal(size=(500, grasp.DIM))
    heights = altitude(others, config, common)
    assert ((heights > 0.0) & (heights < 1.0)).all()


def test_the_human_grasp_succeeds_in_every_scene() -> None:
    rig = LandscapeRig()
    keys = [EpisodeKey("PickCup", split, "train", s, 0) for split in ("train", "test") for s in range(20)]
    frames = rig.reset_batch(keys)
    assert frames.truths is not None
    grasps = [truth.human_grasp for truth in frames.truths]
    outcomes = rig.execute_batch(grasps, [rig.task("PickCup").demonstration] * len(keys))
    assert all(outcome.success and outcome.score == 1.0 for outcome in outcomes)


def test_shapes() -> None:
    bowl, ridge, cliff, modes = (LandscapeConfig(shape=s) for s in SHAPES)  # type: ignore[arg-type]
    near, far = deviation(mu_z=1.0), deviation(mu_z=2.0)
    assert altitude(near, bowl)[0] > altitude(far, bowl)[0]
    assert altitude(near, bowl)[0] == altitude(-near, bowl)[0]
    along, across = deviation(mu_z=1.0, wrist_pitch=1.0), deviation(mu_z=1.0, wrist_pitch=-1.0)
    assert altitude(along, ridge)[0] > 0.95 > 0.6 > altitude(across, ridge)[0]
    assert altitude(deviation(mu_z=0.6), cliff)[0] == altitude(deviation(mu_z=0.6), bowl)[0]
    assert altitude(deviation(mu_z=-0.6), cliff)[0] < 0.2
    common = deviation(mu_z=2.0, wrist_pitch=1.0)
    trap = altitude(1.8 * common, modes, common)[0]
    assert altitude(1.8 * common, bowl)[0] < trap < 0.5  # never a success
    assert trap > altitude(1.3 * common, modes, common)[0]


def test_only_informative_coordinates_matter() -> None:
    config = LandscapeConfig(informative=3)
    blind = np.random.default_rng(0).normal(size=(5, grasp.DIM))
    blind[:, [2, 4, 5]] = 0.0
    np.testing.assert_array_equal(altitude(blind, config), 1.0)
    assert (altitude(blind, LandscapeConfig(informative=22)) < 1.0).all()


def prior_score(**knobs: Any) -> float:
    bandit = Bandit("PickCup", rig="landscape", rig_config=knobs)
    bandit.show([bandit.key(seed, 0) for seed in range(100)])
    return float(bandit.play(np.zeros((100, grasp.DIM))).rewards.mean())


def test_offset_and_difficulty_make_it_harder() -> None:
    assert prior_score(offset=0.0) > prior_score(offset=1.5) + 0.1 > prior_score(offset=3.0) + 0.2
    assert prior_score(difficulty=0.5) > prior_score() + 0.1 > prior_score(difficulty=2.0) + 0.2
    assert prior_score(offset=0.0, context=0.0, perception=0.0) == 1.0
    assert prior_score(offset=0.0, context=0.0, perception=0.0, noise=0.5) < 0.9


def test_the_common_error_can_be_learned_and_the_rest_needs_context() -> None:
    keys = [EpisodeKey("PickCup", "train", "train", seed, 0) for seed in range(200)]
    rig = LandscapeRig(LandscapeConfig(perception=0.0))
    frames = rig.reset_batch(keys)
    bandit = Bandit("PickCup", rig=LandscapeRig(LandscapeConfig(perception=0.0)))
    bandit.show(keys)
    assert frames.truths is not None
    common = frames.truths[0].prior_error.common
    assert np.linalg.norm(common) == pytest.approx(2.0)
    scores = bandit.play(np.tile(-common * grasp.SIGMA, (200, 1))).rewards
    assert prior_score() + 0.2 < scores.mean() < 0.95
    bandit.show(keys)
    human = np.stack([truth.human_grasp for truth in frames.truths])
    assert bandit.play(human - bandit.xi).rewards.mean() == pytest.approx(1.0)


def test_pictures_show_the_context() -> None:
    rig = LandscapeRig()
    frames = rig.reset_batch([EpisodeKey("PickCup", "train", "train", s, 0) for s in range(30)])
    assert frames.truths is not None
    areas = [int((frame.depth_m < 1.0).sum()) for frame in frames]
    sizes = [truth.descriptor[0] for truth in frames.truths]
    assert np.corrcoef(areas, sizes)[0, 1] > 0.9
    colours = {(t.object, tuple(f.rgb[f.depth_m < 1.0][0])) for f, t in zip(frames, frames.truths, strict=True)}
    assert len(colours) == len({name for name, _ in colours}) == 4
    assert testing.same_frame(render(frames.keys[7]), frames[7])


def test_splits_have_their_own_objects() -> None:
    rig = LandscapeRig()
    seen = {}
    for split in ("train", "test"):
        frames = rig.reset_batch([EpisodeKey("PickCup", split, "train", s, 0) for s in range(60)])
        assert frames.truths is not None
        seen[split] = {truth.object for truth in frames.truths}
        assert seen[split] == set(rig.task("PickCup").objects(split))
    assert not seen["train"] & seen["test"]


def test_a_wish_below_the_table_is_a_collision() -> None:
    rig = LandscapeRig()
    key = EpisodeKey("PickCup", "train", "train", 0, 0)
    frames = rig.reset_batch([key])
    assert frames.truths is not None
    wish = frames.truths[0].human_grasp.copy()
    wish[2] = -0.02
    outcome = rig.execute_batch([wish], [rig.task("PickCup").demonstration])[0]
    assert (outcome.status, outcome.reason, outcome.success, outcome.score) == (Status.FAILED, "collision", False, 0.0)


def test_the_judge_reads_the_final_lift() -> None:
    task = LandscapeRig().task("PickCup")
    for lift, score, success in ((0.0, 0.0, False), (0.49, 0.49, False), (0.5, 0.5, True), (2.0, 1.0, True)):
        signals = {"lift_m": np.array([[LIFT_M], [lift * LIFT_M]]), "touch": np.ones((2, 1))}
        assert (task.score(signals), task.success(signals)) == (pytest.approx(score), success)
    assert not any(task.subgoals({"lift_m": np.zeros((2, 1)), "touch": np.zeros((2, 1))}).values())


@pytest.mark.parametrize(
    "knobs",
    [{"shape": "cone"}, {"offset": -1.0}, {"offset": np.nan}, {"difficulty": 0.0}, {"informative": 1},
     {"informative": 23}, {"informative": True}, {"noise": np.inf}],
)  # fmt: skip
def test_bad_knobs_are_named(knobs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(knobs))):
        LandscapeConfig(**knobs)

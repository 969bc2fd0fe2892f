"""Scoop Grape: its judge on hand-made signals, its scenes, and a person's grasp of them."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from scenes import TICKS, Signals, let_go, moved, persons, taken

from deft_env.episode import EpisodeKey
from deft_env.sim.scenes import SceneModels
from deft_env.sim.world import PhysicsOptions
from deft_env.tasks import demonstrations
from deft_env.tasks.scoop import DISH_HEIGHT_M, DISH_RIM_M, GRAPES
from deft_env.tasks.scoop_grape import ScoopGrape


def scooped() -> Signals:
    """An episode as sensors would see it: the spoon goes under the first grape and lifts it by 8 cm."""
    signals = taken()
    share = moved(119.0)
    for grape, away in zip(GRAPES, (0.04, 0.06, 0.06), strict=True):
        rest = np.tile([0.46, 0.06, 0.015], (TICKS, 1))
        signals[f"{grape}/position"] = rest
        signals[f"{grape}/in_spoon"] = np.tile([-away, 0.0, 0.0], (TICKS, 1))
        signals[f"{grape}/touch"] = np.zeros((TICKS, 1))
    first = GRAPES[0]
    signals[f"{first}/in_spoon"][:, 0] = -0.04 * np.clip(1.0 - 3.0 * share, 0.0, 1.0)
    signals[f"{first}/position"][:, 2] += 0.08 * np.clip(2.0 * share - 1.0, 0.0, 1.0)
    signals[f"{first}/touch"][share > 0.3] = 1
    return signals


def test_a_scooped_grape_is_a_success() -> None:
    task, signals = ScoopGrape(), scooped()
    assert task.success(signals)
    assert task.score(signals) == pytest.approx(1.0)
    assert all(task.subgoals(signals).values())


def test_any_grape_will_do() -> None:
    signals = scooped()
    for suffix in ("position", "in_spoon", "touch"):
        first, second = (f"{grape}/{suffix}" for grape in GRAPES[:2])
        signals[first], signals[second] = signals[second], signals[first]
    assert ScoopGrape().success(signals)


def test_a_grape_that_rolled_off_is_a_failure_with_credit_for_the_way() -> None:
    signals, first = scooped(), GRAPES[0]
    signals[f"{first}/in_spoon"][-30:] = [-0.06, 0.0, -0.08]
    signals[f"{first}/touch"][-30:] = 0
    signals[f"{first}/position"][-30:, 2] = 0.015
    assert not ScoopGrape().success(signals)
    assert 0.6 < ScoopGrape().score(signals) < 1.0
    assert ScoopGrape().subgoals(signals)["lifted a grape out of the dish"]


def test_a_grape_on_the_rim_or_beside_the_bowl_is_not_held() -> None:
    for place in ([0.0, 0.035, 0.0], [0.0, 0.0, 0.03]):
        signals = scooped()
        signals[f"{GRAPES[0]}/in_spoon"][:] = place
        assert not ScoopGrape().success(signals)


def test_a_grape_in_the_bowl_that_is_still_in_the_dish_is_not_scooped() -> None:
    signals = scooped()
    signals[f"{GRAPES[0]}/position"][:, 2] = 0.015
    task = ScoopGrape()
    assert not task.success(signals)
    assert task.subgoals(signals)["got a grape into the spoon"]
    assert not task.subgoals(signals)["lifted a grape out of the dish"]


def test_a_spoon_that_the_hand_lost_is_a_failure() -> None:
    signals = let_go(scooped(), -25)
    assert not ScoopGrape().success(signals)
    assert ScoopGrape().score(signals) < 0.9


def test_the_score_grows_as_the_bowl_comes_nearer_to_a_grape() -> None:
    scores = []
    for away in (0.05, 0.04, 0.03, 0.02):
        signals = scooped()
        signals[f"{GRAPES[0]}/in_spoon"][:] = [-away, 0.0, 0.0]
        signals[f"{GRAPES[0]}/touch"][:] = 0
        scores.append(ScoopGrape().score(signals))
    assert np.all(np.diff(scores) > 0.02)


def test_an_empty_hand_scores_nothing() -> None:
    signals = let_go(scooped(), 0)
    assert ScoopGrape().score(signals) == 0.0


def test_the_demonstration_file_is_what_the_script_makes() -> None:
    np.testing.assert_array_equal(ScoopGrape().demonstration.displacements, demonstrations.PATHS["ScoopGrape"]())


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_spoon_and_the_grapes_rest_in_the_dish(split: str) -> None:
    import mujoco

    from deft_env.sim import controls
    from deft_env.sim.scenes import SceneModels

    task = ScoopGrape()
    models = SceneModels(task, PhysicsOptions(**task.physics))
    for k in range(12):
        scene = task.draw(EpisodeKey("ScoopGrape", split, "train", 5, k))
        model = models.model(scene)
        data = mujoco.MjData(model)
        data.qpos[:] = models.qpos(model, scene, *controls.parked())
        mujoco.mj_forward(model, data)
        assert all(contact.dist > -0.002 for contact in data.contact), "nothing starts inside another thing"
        before = {name: data.body(name).xpos.copy() for name in ("spoon", *GRAPES)}
        data.ctrl[:6] = data.qpos[[model.joint(f"arm/joint{i}").qposadr[0] for i in range(1, 7)]]
        while data.time < 1.2:
            mujoco.mj_step(model, data)
        for name, place in before.items():
            assert np.linalg.norm(data.body(name).xpos - place) < 0.012, name


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_persons_grasp_scoops(split: str) -> None:
    outcomes = persons("ScoopGrape", split, 8)
    assert sum(bool(outcome.success) for outcome in outcomes) >= 5


def test_the_dish_is_drawn_round_where_its_boards_are() -> None:
    model = SceneModels(ScoopGrape(), PhysicsOptions()).base(
        ScoopGrape().draw(EpisodeKey("ScoopGrape", "train", "reference", 0, 0)).variant
    )
    geoms = [g for g in range(model.ngeom) if model.geom_bodyid[g] == model.body("dish").id]
    boards = [g for g in geoms if model.geom_group[g] == 3]
    skins = [g for g in geoms if model.geom_dataid[g] >= 0]
    assert len(boards) == 12
    assert all(model.geom_contype[g] for g in boards)
    assert len(skins) == 1
    assert not model.geom_contype[skins[0]]
    start, count = model.mesh_vertadr[0], model.mesh_vertnum[0]
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, model.geom_quat[skins[0]])
    points = model.mesh_vert[start : start + count] @ turn.reshape(3, 3).T + model.geom_pos[skins[0]]
    assert np.hypot(points[:, 0], points[:, 1]).max() == pytest.approx(DISH_RIM_M + 0.0024, abs=1e-4)
    assert points[:, 2].max() == pytest.approx(DISH_HEIGHT_M, abs=1e-4)

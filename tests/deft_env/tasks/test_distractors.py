"""Knife, tomato and sugar bag: in test scenes alone, seen by the camera, clear of the object, there to be knocked."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from deft_env import registries
from deft_env.episode import EpisodeKey
from deft_env.rigs.simulated import SimulatedRig
from deft_env.sim import controls, render
from deft_env.sim.scenes import SceneModels
from deft_env.sim.world import PhysicsOptions
from deft_env.tasks.task import Scene, Task

STANDS = {"PickCup": "sugar_bag", "PickSpoon": "knife", "PickGrape": "toy_tomato"}


def the_task(name: str) -> Task:
    made = registries.make_task(name)
    assert isinstance(made, Task)
    return made


def compiled(name: str, split: str, k: int) -> tuple[mujoco.MjModel, mujoco.MjData, Scene]:
    """A scene as it is before anything moves."""
    task = the_task(name)
    owner = SceneModels(task, PhysicsOptions(**task.physics))
    scene = task.draw(EpisodeKey(name, split, "reference", 4, k))
    model = owner.model(scene)
    data = mujoco.MjData(model)
    data.qpos[:] = owner.qpos(model, scene, *controls.parked())
    mujoco.mj_forward(model, data)
    return model, data, scene


def geoms(model: mujoco.MjModel, body: str) -> list[int]:
    """The touchable geoms of a body and of what hangs on it."""
    root = model.body(body).id
    own = {root}
    for other in range(root + 1, model.nbody):
        if model.body_parentid[other] in own:
            own.add(other)
    return [g for g in range(model.ngeom) if model.geom_bodyid[g] in own and model.geom_contype[g]]


@pytest.mark.parametrize("name", list(registries.TASK_WORDS))
def test_distractors_stand_in_test_scenes_only(name: str) -> None:
    task = the_task(name)
    thing = STANDS.get(name)
    assert (task.distractor.object if task.distractor else None) == thing
    for k in range(4):
        for split in ("train", "test"):
            scene = task.draw(EpisodeKey(name, split, "train", 4, k))
            there = set(STANDS.values()) & set(scene.poses)
            assert there == ({thing} if thing and split == "test" else set())
    for split in ("train", "test"):
        model, _, _ = compiled(name, split, 0)
        bodies = {model.body(i).name for i in range(model.nbody)}
        assert bodies & set(STANDS.values()) == ({thing} if thing and split == "test" else set())


@pytest.mark.parametrize("name", STANDS)
def test_a_distractor_changes_nothing_else_about_a_scene(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key = EpisodeKey(name, "test", "train", 4, 1)
    task = the_task(name)
    with_it = task.draw(key)
    monkeypatch.setattr(type(task), "distractor", None)
    without = task.draw(key)
    assert (with_it.variant, with_it.yaw_rad) == (without.variant, without.yaw_rad)
    assert set(with_it.poses) == {*without.poses, STANDS[name]}
    for body, pose in without.poses.items():
        assert with_it.mass_scale.get(body) == without.mass_scale.get(body)
        for one, other in zip(pose, with_it.poses[body], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", STANDS)
def test_a_distractor_stands_beside_the_object_and_clear_of_it(name: str) -> None:
    sides = set()
    for k in range(25):
        model, data, scene = compiled(name, "test", k)
        thing, others = geoms(model, STANDS[name]), []
        for body in scene.poses:
            others += geoms(model, body) if body != STANDS[name] else []
        gaps = [mujoco.mj_geomDistance(model, data, a, b, 1.0, None) for a in thing for b in others]
        assert min(gaps) > 0.015, "m, between the surfaces"
        assert min(gaps) < 0.10, "a thing further away is no part of the scene"
        table = [mujoco.mj_geomDistance(model, data, a, model.geom("table").id, 1.0, None) for a in thing]
        assert min(table) == pytest.approx(0.0, abs=0.001), "it stands on the table"
        offset = scene.poses[STANDS[name]][0] - scene.position_m
        sides.add(np.sign(np.cos(scene.yaw_rad) * offset[1] - np.sin(scene.yaw_rad) * offset[0]))
    assert sides == {-1.0, 1.0}, "on either side"


@pytest.mark.parametrize("name", STANDS)
def test_the_camera_sees_the_distractor(name: str) -> None:
    for k in range(6):
        model, data, _ = compiled(name, "test", k)
        seen = render.Scene(model, data.qpos.copy()).segmentation()
        of_thing = {g for g in range(model.ngeom) if model.geom_bodyid[g] == model.body(STANDS[name]).id}
        rows, columns = np.nonzero(np.isin(seen, list(of_thing)))
        assert len(rows) > 500, "px"
        assert rows.min() > 0
        assert rows.max() < 479
        assert columns.min() > 0
        assert columns.max() < 639, "it is wholly in the picture"


@pytest.mark.parametrize("name", STANDS)
def test_a_hand_that_goes_there_knocks_the_distractor(name: str) -> None:
    keys = [EpisodeKey(name, "test", "reference", 4, k) for k in range(8)]
    with SimulatedRig(film=False) as rig:
        task = rig.task(name)
        truths = rig.reset_batch(keys).truths
        assert truths is not None
        grasps = np.stack([truth.human_grasp for truth in truths])
        for row, key in enumerate(keys):
            scene = task.draw(key)
            grasps[row, :3] += scene.poses[STANDS[name]][0] - scene.position_m
            if name == "PickSpoon":
                grasps[row, 2] -= 0.02  # a knife lies lower than an arched handle
        missed = rig.execute_batch(grasps, [task.demonstration] * len(keys))
        rig.reset_batch(keys)
        taken = rig.execute_batch([t.human_grasp for t in truths], [task.demonstration] * len(keys))
    knocked = [o for o in missed if o.signals and np.ptp(o.signals[f"{STANDS[name]}/position"], axis=0).max() > 0.01]
    assert len(knocked) >= 4, "some are out of the arm's reach, or strike the table"
    assert not any(outcome.success for outcome in missed)
    moved = [np.ptp(o.signals[f"{STANDS[name]}/position"], axis=0).max() for o in taken]
    assert np.mean(np.array(moved) > 0.01) <= 0.25, "a person's grasp of the object mostly leaves it alone"

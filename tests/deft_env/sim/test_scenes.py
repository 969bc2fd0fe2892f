"""Models of scenes: the shared, recycled and cheap ways give what a fresh compilation gives, byte for byte."""

from __future__ import annotations

import threading
from typing import Any

import mujoco
import numpy as np
import pytest

from deft_env.episode import EpisodeKey
from deft_env.registries import tasks
from deft_env.rigs.simulated import SimulatedRig
from deft_env.sim import controls, world
from deft_env.sim.scenes import SceneModels

TASKS = ("PickCup", "OpenDrawer", "PickSpoon")


def content(model: Any) -> bytes:
    """Everything in a model."""
    buffer = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return buffer.tobytes()


def fresh(task: Any, options: world.PhysicsOptions, scene: Any) -> Any:
    """The scene's model from a new workplace, with constants from an MjData of its own."""
    spec = world.base_spec(options)
    task.build(spec, scene.variant)
    model = spec.compile()
    for name, factor in scene.mass_scale.items():
        model.body_mass[model.body(name).id] *= factor
        model.body_inertia[model.body(name).id] *= factor
    for geom in range(model.ngeom):
        body = model.body(model.geom_bodyid[geom]).name
        if body in scene.friction and model.geom_contype[geom]:
            model.geom_friction[geom, 0] = scene.friction[body]
    for name, (position, quaternion) in scene.poses.items():
        body = model.body(name)
        if not body.jntnum[0]:
            model.body_pos[body.id], model.body_quat[body.id] = position, quaternion
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


@pytest.fixture(params=TASKS)
def models(request: pytest.FixtureRequest) -> SceneModels:
    task = tasks.load(request.param)()
    return SceneModels(task, world.PhysicsOptions(**task.physics))


def scenes_of(models: SceneModels, n: int) -> list[Any]:
    return [models.task.draw(EpisodeKey(models.task.name, "train", "train", 5, k)) for k in range(n)]


def test_a_scene_model_is_a_fresh_compilation(models: SceneModels) -> None:
    for scene in scenes_of(models, 6):
        assert content(models.model(scene)) == content(fresh(models.task, models.options, scene))


def test_a_recycled_model_keeps_nothing_of_the_scene_before(models: SceneModels) -> None:
    first = scenes_of(models, 1)[0]
    same_size = next(
        scene
        for scene in scenes_of(models, 2000)[1:]
        if scene.variant == first.variant and scene.friction != first.friction
    )
    lent = models.model(first)
    data = models.scratch(first.variant)
    data.qpos[:], data.qvel[:] = 0.7, 3.0
    mujoco.mj_step(lent, data)
    models.recycle(first, lent)
    again = models.model(same_size)
    assert again is lent
    assert content(again) == content(fresh(models.task, models.options, same_size))
    assert models.model(same_size) is not again


def test_threads_do_not_share_what_they_write_to(models: SceneModels) -> None:
    scene = scenes_of(models, 1)[0]
    seen: list[Any] = [models.scratch(scene.variant)]
    thread = threading.Thread(target=lambda: seen.append(models.scratch(scene.variant)))
    thread.start()
    thread.join()
    assert seen[0] is not seen[1]
    assert seen[0] is models.scratch(scene.variant)


def test_qpos_has_robot_and_objects_where_the_names_say(models: SceneModels) -> None:
    scene = scenes_of(models, 1)[0]
    arm, hand = controls.parked()
    model = models.model(scene)
    qpos = models.qpos(model, scene, arm, hand + 0.1)
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_forward(model, data)
    assert np.array_equal([data.joint(f"arm/joint{i}").qpos[0] for i in range(1, 7)], arm)
    for name, (position, _) in scene.poses.items():
        if np.size(position) == 3:
            np.testing.assert_allclose(data.body(name).xpos, position, atol=1e-12)
        else:  # a drawer: how far it is open
            assert data.qpos[int(model.jnt_qposadr[model.body(name).jntadr[0]])] == position[0]


def outcomes(rig: SimulatedRig, keys: list[EpisodeKey], look: bool) -> list[Any]:
    frames = rig.reset_batch(keys)
    if look:
        frames[0]
    assert frames.truths is not None
    wished = np.stack([truth.human_grasp for truth in frames.truths])
    wished[:, 0] += 0.01 * np.arange(len(keys)) / len(keys)
    return rig.execute_batch(wished, [rig.task(key.task).demonstration for key in keys])


def test_an_episode_is_the_same_on_a_used_rig_after_a_look_and_on_a_new_one() -> None:
    """Pools of models and data, pictures and earlier batches leave no trace."""
    keys = [EpisodeKey("OpenDrawer", "train", "train", 1, k) for k in range(3)]
    rig = SimulatedRig(threads=2)
    first = outcomes(rig, keys, look=False)
    outcomes(rig, [EpisodeKey("OpenDrawer", "train", "train", 2, k) for k in range(4)], look=False)
    again = outcomes(rig, keys, look=True)
    single = [outcomes(SimulatedRig(threads=1), [key], look=False)[0] for key in keys[:1]]
    for a, b in [*zip(first, again, strict=True), *zip(first, single, strict=False)]:
        assert (a.score, a.success, a.status) == (b.score, b.success, b.status)
        for name, series in a.signals.items():
            assert np.array_equal(series, b.signals[name]), name

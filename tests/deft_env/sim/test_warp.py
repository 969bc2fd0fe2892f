"""MuJoCo Warp: refusals, every task accepted, batches, room, faults; slow ones play a few ticks on a CPU."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import mujoco
import numpy as np
import pytest

from deft_env.episode import EpisodeKey
from deft_env.registries import TASK_WORDS, tasks
from deft_env.rigs.simulated import SimulatedRig
from deft_env.sim import controls, execute, warp_execute, warp_models, world
from deft_env.sim.scenes import SceneModels
from deft_env.tasks.pick_grape import GRAPES, stretch_sensor
from deft_env.tasks.task import Breakable


def test_an_unknown_device_is_named() -> None:
    with pytest.raises(ValueError, match=r"device.*'tpu'"):
        SimulatedRig(device="tpu")


def test_without_the_package_the_extra_is_named() -> None:
    code = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('warp', 'mujoco_warp'): raise ImportError('absent')\n"
        "sys.meta_path.insert(0, Block())\n"
        "from deft_env.rigs.simulated import SimulatedRig\n"
        "SimulatedRig()\n"
        "try: SimulatedRig(device='cuda')\n"
        "except ImportError as e: print(e)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "deft-hand[gpu]" in done.stdout


def test_without_a_gpu_cuda_is_refused() -> None:
    warp = pytest.importorskip("warp")
    pytest.importorskip("mujoco_warp")
    if warp.is_cuda_available():
        pytest.skip("there is a GPU")
    with pytest.raises(RuntimeError, match="no NVIDIA GPU"):
        SimulatedRig(device="cuda")


def scenes_of(name: str, n: int) -> tuple[SceneModels, list[Any]]:
    try:
        task = tasks.load(name)()
        models = SceneModels(task, world.PhysicsOptions(**task.physics))
        return models, [task.draw(EpisodeKey(name, "train", "train", 0, k)) for k in range(n)]
    except (ImportError, FileNotFoundError):
        pytest.skip(f"{name} is not there yet")


@pytest.mark.parametrize("name", TASK_WORDS)
def test_every_task_model_is_accepted(name: str) -> None:
    pytest.importorskip("mujoco_warp")
    import mujoco_warp as mjw
    import warp as wp

    models, (scene,) = scenes_of(name, 1)
    with wp.ScopedDevice("cpu"):
        assert mjw.put_model(models.model(scene)).nq == models.base(scene.variant).nq


def test_worlds_that_differ_in_size_mass_and_friction_share_a_batch() -> None:
    pytest.importorskip("mujoco_warp")
    import warp as wp

    models, scenes = scenes_of("PickSpoon", 6)
    made = [models.model(scene) for scene in scenes]
    assert warp_models.groups(made) == [list(range(6))]
    with wp.ScopedDevice("cpu"):
        batch = warp_models.put_models(made)
        for name in ("body_mass", "geom_size", "geom_friction", "body_invweight0"):
            kept = getattr(batch, name).numpy()
            for world_kept, model in zip(kept, made, strict=True):
                expected = np.asarray(getattr(model, name))
                np.testing.assert_allclose(world_kept.reshape(expected.shape), expected, rtol=1e-6)


def test_worlds_with_other_meshes_share_a_batch_and_keep_their_own() -> None:
    pytest.importorskip("mujoco_warp")
    import warp as wp

    models, scenes = scenes_of("PickCup", 8)
    made = [models.model(scene) for scene in scenes]
    assert warp_models.groups(made) == [list(range(8))]
    with wp.ScopedDevice("cpu"):
        batch = warp_models.put_models(made)
    vertices, starts = batch.mesh_vert.numpy(), batch.mesh_vertadr.numpy()
    seen = set()
    for ids, model in zip(batch.geom_dataid.numpy(), made, strict=True):
        wall = np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_MESH)
        assert wall.size
        for geom in wall:
            begin = starts[ids[geom]]
            own = model.mesh_vert[model.mesh_vertadr[model.geom_dataid[geom]] :][: model.nmeshvert]
            np.testing.assert_array_equal(vertices[begin : begin + len(own)], own)
            seen.add(int(ids[geom]))
        assert (ids[model.geom_dataid < 0] < 0).all()
    assert len(seen) == len({scene.variant for scene in scenes}) > 1


def two_meshes(*sizes: tuple[float, int]) -> Any:
    """A model with a frustum a size: radius and number of corners."""
    spec = mujoco.MjSpec()
    for i, (radius, corners) in enumerate(sizes):
        angle = np.linspace(0.0, 2.0 * np.pi, corners, endpoint=False)
        ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(corners)], axis=1)
        points = np.concatenate([radius * ring, 1.3 * radius * ring + [0.0, 0.0, 0.1]])
        spec.add_mesh(name=f"mesh{i}", uservert=points.ravel())
        body = spec.worldbody.add_body()
        body.add_freejoint()
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=f"mesh{i}")
    return spec.compile()


def test_meshes_lie_one_after_another_as_the_compiler_lays_them() -> None:
    small, large = (0.03, 12), (0.05, 20)
    packed = warp_models.pack_meshes([two_meshes(small), two_meshes(large), two_meshes(small)])
    both = two_meshes(small, large)
    assert packed.first.tolist() == [0, 1, 0]
    for name, size in packed.sizes.items():
        assert size == getattr(both, name), name
    read = set(packed.arrays) - {"mesh_bvhadr", "mesh_extrema"}  # places in arrays of rays; no kernel of physics reads
    for name in read:
        np.testing.assert_array_equal(packed.arrays[name], getattr(both, name), err_msg=name)


def test_what_is_fixed_stands_where_each_world_has_it() -> None:
    """The chest of every world once stood where the first world's did: rates were half of the CPU's."""
    pytest.importorskip("mujoco_warp")
    import mujoco_warp as mjw
    import warp as wp

    models, scenes = scenes_of("OpenDrawer", 4)
    made = [models.model(scene) for scene in scenes]
    fixed = made[0].body_weldid[made[0].geom_bodyid] == 0
    with wp.ScopedDevice("cpu"):
        data = mjw.make_data(made[0], nworld=4, nconmax=8, njmax=8)
        before = data.geom_xpos.numpy().copy()
        warp_models.place_static_geoms(data, made)
        mjw.reset_data(warp_models.put_models(made), data)
    for i, model in enumerate(made):
        host = mujoco.MjData(model)
        mujoco.mj_kinematics(model, host)
        np.testing.assert_allclose(data.geom_xpos.numpy()[i, fixed], host.geom_xpos[fixed], atol=1e-6)
        turned = data.geom_xmat.numpy()[i, fixed].reshape(-1, 9)
        np.testing.assert_allclose(turned, host.geom_xmat[fixed], atol=1e-6)
        assert i == 0 or np.abs(before[i, fixed] - host.geom_xpos[fixed]).max() > 0.01


@pytest.mark.slow
def test_whole_episodes_end_as_on_the_cpu() -> None:
    pytest.importorskip("mujoco_warp")
    ends = []
    for device in ("cpu", "warp-cpu"):
        rig = SimulatedRig(device=device, film=False)
        frames = rig.reset_batch([EpisodeKey("OpenDrawer", "train", "reference", 11, k) for k in range(6)])
        assert frames.truths is not None
        wished = np.stack([truth.human_grasp for truth in frames.truths])
        wished[::2, 0] += 0.1  # beside the knob
        ends.append([o.success for o in rig.execute_batch(wished, [rig.task("OpenDrawer").demonstration] * 6)])
    assert ends[1] == ends[0] == [False, True] * 3


@pytest.fixture(scope="module")
def begun() -> tuple[list[Any], np.ndarray, np.ndarray]:
    """Models, states and the first ticks of three episodes."""
    pytest.importorskip("mujoco_warp")
    models, scenes = scenes_of("PickSpoon", 3)
    made = [models.model(scene) for scene in scenes]
    wished = np.stack([models.task.human_grasp(scene) for scene in scenes])
    plan = controls.plan(wished, models.task.nominal_rotation, models.task.demonstration)
    parts = zip(made, scenes, plan.arm_qpos, plan.hand_qpos, strict=True)
    return made, np.stack([models.qpos(*part) for part in parts]), plan.controls[:, :4]


@pytest.mark.slow
def test_the_first_ticks_are_those_of_the_cpu(begun: Any) -> None:
    cpu = execute.play(*begun, substeps=2, film_every=2)
    warp = warp_execute.play(*begun, substeps=2, film_every=2, device="warp-cpu")
    # The robot's joints agree to single precision; a spoon at rest on the table rocks a little otherwise, as its
    # contacts are found and solved otherwise: 1.5e-3 in its quaternion was seen after 80 ms.
    np.testing.assert_allclose(warp.final_qpos[:, :22], cpu.final_qpos[:, :22], atol=1e-5)
    np.testing.assert_allclose(warp.final_qpos, cpu.final_qpos, atol=5e-3)
    assert warp.film_qpos.shape == cpu.film_qpos.shape
    np.testing.assert_allclose(warp.film_qpos[:, -1, :22], warp.final_qpos[:, :22], atol=1e-6)
    assert set(warp.sensors) == set(cpu.sensors)
    assert not warp.faulted.any()


@pytest.mark.slow
def test_lack_of_room_is_loud_and_repaired(begun: Any) -> None:
    models, qpos, wished = (part[:1] for part in begun)
    enough = warp_execute.play(models, qpos, wished[:, :1], substeps=1, device="warp-cpu")
    with pytest.warns(RuntimeWarning, match="lacked room"):
        scarce = warp_execute.play(models, qpos, wished[:, :1], substeps=1, device="warp-cpu", constraints=8)
    np.testing.assert_allclose(scarce.final_qpos, enough.final_qpos, atol=1e-6)
    with pytest.warns(RuntimeWarning), pytest.raises(RuntimeError, match="nothing of this batch is kept"):
        warp_execute.play(models, qpos, wished[:, :1], substeps=1, device="warp-cpu", constraints=1)


@pytest.mark.slow
def test_a_world_that_is_not_finite_is_faulted_and_alone(begun: Any) -> None:
    models, qpos, wished = begun
    broken = qpos.copy()
    broken[1, 0] = np.nan
    played = warp_execute.play(models, broken, wished[:, :2], substeps=1, device="warp-cpu")
    assert played.faulted.tolist() == [False, True, False]
    assert "not finite" in played.reason[1]


@pytest.mark.slow
def test_stems_break_on_the_device_at_the_tick_at_which_they_break_on_the_cpu() -> None:
    pytest.importorskip("mujoco_warp")
    models, scenes = scenes_of("PickGrape", 2)
    made = [models.model(scene) for scene in scenes]
    grasps = np.stack([models.task.human_grasp(scene) for scene in scenes])
    plan = controls.plan(grasps, models.task.nominal_rotation, models.task.demonstration)
    qpos = np.stack([models.qpos(made[i], scenes[i], plan.arm_qpos[i], plan.hand_qpos[i]) for i in range(2)])
    upper = GRAPES[3:]  # nothing holds these but their stems
    for name in upper:
        qpos[0, made[0].jnt_qposadr[made[0].joint(name).id] + 2] += 0.004  # the second bunch stays whole
    stems = tuple(Breakable(name, stretch_sensor(name), 0.003) for name in upper)
    begun = made, qpos, plan.controls[:, :5]
    played = execute.play(*begun, substeps=2, breakables=stems)
    device = warp_execute.play(*begun, substeps=2, breakables=stems, device="warp-cpu")
    whole = warp_execute.play(*begun, substeps=2, device="warp-cpu")
    for name in upper:
        sensor = stretch_sensor(name)
        cpu, warp, unbroken = (np.linalg.norm(p.sensors[sensor], axis=2) for p in (played, device, whole))
        assert min(cpu[0, 0], warp[0, 0], unbroken[0, 0]) > 0.003
        assert min(cpu[0, -1], warp[0, -1]) > 1e-3  # a whole stem has pulled the grape back by then
        assert max(cpu[1].max(), warp[1].max(), unbroken[0, -1]) < 1e-3
        np.testing.assert_allclose(warp, cpu, atol=8e-4)  # grapes touch each other: contacts differ

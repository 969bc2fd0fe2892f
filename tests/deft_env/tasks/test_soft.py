"""The deformable lemon and bagel: what their sensors say, and that they agree with the rigid ones on who succeeds."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from deft_env import grasp
from deft_env.episode import EpisodeKey, Outcome
from deft_env.rigs.simulated import SimulatedRig
from deft_env.sim.scenes import SceneModels
from deft_env.sim.world import PhysicsOptions
from deft_env.tasks import soft
from deft_env.tasks.flip_bagel import FlipBagel
from deft_env.tasks.squeeze_lemon import SqueezeLemon
from deft_env.tasks.task import Task

LEAST_AGREEMENT = {"SqueezeLemon": 0.65, "FlipBagel": 0.85}
SOFT = {"SqueezeLemon": (SqueezeLemon, "lemon"), "FlipBagel": (FlipBagel, "bagel")}


def volume(mesh: soft.Mesh) -> float:
    corners = mesh.vertices_m[mesh.elements]
    parts = np.linalg.det(corners[:, 1:] - corners[:, :1]) / 6.0
    assert (parts > 0).all(), "elements are not inside out"
    return float(parts.sum())


def test_a_turned_mesh_fills_its_shape() -> None:
    profile = np.array([(0, 0), (0.03, 0), (0.03, 0.05), (0, 0.05)], dtype=float)
    mesh = soft.turned(profile, (0, 0, 1, 1), sides=64)
    assert volume(mesh) == pytest.approx(np.pi * 0.03**2 * 0.05, rel=0.01)


def test_a_ring_fills_its_section() -> None:
    mesh = soft.ring(0.01, 0.05, 0.02, (0,) * 6, segments=64)
    across, up = np.array([0.95, 1, 0.6, -0.6, -1, -0.95]) * 0.02, np.array([0, 0.45, 1, 1, 0.45, 0]) * 0.02
    area = 0.5 * abs(np.dot(across, np.roll(up, 1)) - np.dot(up, np.roll(across, 1)))
    assert volume(mesh) == pytest.approx(2 * np.pi * 0.03 * area, rel=0.01)


def test_contacts_with_others_are_subtracted() -> None:
    sensors = {
        "soft/grip/index/any": np.array([[3.0, 5.0, 0.0, 1.0]]),
        "soft/grip/index/less0": np.array([[1.0, 2.0, 0.0, 0.0]]),
        "soft/grip/index/less1": np.array([[1.0, 0.0, 0.0, 1.0]]),
        "phase": np.array([[2.0]]),
    }
    signals = soft.combine(sensors)
    assert signals.keys() == {"grip/index", "phase"}
    np.testing.assert_allclose(signals["grip/index"], [[1.0, 3.0, 0.0, 0.0]])


def test_one_side_of_a_contact_is_named() -> None:
    with pytest.raises(ValueError, match="exactly one side"):
        soft.add_contact_sensor(mujoco.MjSpec(), "grip/index", [])


def settled(name: str, *, soft: bool = True) -> tuple[Task, dict[str, np.ndarray], mujoco.MjModel]:
    task = SOFT[name][0]()
    task.soft = soft
    owner = SceneModels(task, PhysicsOptions(**task.solver))
    scene = task.draw(EpisodeKey(name, "train", "reference", 0, 0))
    model = owner.model(scene)
    data = mujoco.MjData(model)
    data.qpos[:] = owner.qpos(model, scene, np.zeros(6), np.zeros(16))
    for _ in range(100):
        mujoco.mj_step(model, data)
    sensors = {model.sensor(i).name: data.sensor(i).data[None].copy() for i in range(model.nsensor)}
    return task, dict(task.signals(sensors)), model


@pytest.mark.parametrize("name", SOFT)
def test_a_thing_at_rest_is_where_the_scene_put_it(name: str) -> None:
    task, signals, model = settled(name)
    body = SOFT[name][1]
    scene = task.draw(EpisodeKey(name, "train", "reference", 0, 0))
    _, stiff, _ = settled(name, soft=False)
    np.testing.assert_allclose(signals[f"{body}/position"][0], stiff[f"{body}/position"][0], atol=0.004)
    np.testing.assert_allclose(signals[f"{body}/up"][0], stiff[f"{body}/up"][0], atol=0.05)
    rigid = np.mean(task.objects("train")[0].mass_kg) if body == "lemon" else 0.045
    nodes = model.body_mass[model.flex_nodebodyid]
    assert nodes.sum() == pytest.approx(rigid * scene.mass_scale[body], rel=1e-6)
    assert model.flex_friction[0, 0] == scene.friction[body]
    for digit in ("index", "middle", "ring", "thumb", "palm"):
        assert signals[f"grip/{digit}"][0, 0] == 0, "nobody touches it"
    assert signals[f"{body}/table"][0, 0] == 0
    if body == "lemon":
        assert signals["lemon/stand"][0, 0] > 0, "a sensor that names only the stand sees the lemon on it"
        assert signals["reamer/force"][0, 0] == 0


@pytest.mark.parametrize("k", range(4))
def test_the_soft_bagel_lies_on_the_spatula_and_is_not_nailed_to_it(k: int) -> None:
    task = FlipBagel()
    task.soft = True
    owner = SceneModels(task, PhysicsOptions(**task.solver))
    scene = task.draw(EpisodeKey("FlipBagel", "train", "reference", 0, k))
    model = owner.model(scene)
    data = mujoco.MjData(model)
    data.qpos[:] = owner.qpos(model, scene, np.zeros(6), np.zeros(16))
    for _ in range(100):
        mujoco.mj_step(model, data)
    spatula = model.body("spatula").id
    touching = [
        c for c in data.contact[: data.ncon] if c.flex.max() >= 0 and model.geom_bodyid[c.geom.max()] == spatula
    ]
    assert touching
    assert min(c.dist for c in touching) > -0.004, "m; the neck's foot would reach twice as deep"
    assert min(abs(c.frame[2]) for c in touching) > 0.3, "pushed up, not clamped from both sides"


def play(name: str, *, deformable: bool) -> list[Outcome]:
    """Six reference grasps and twelve that miss them more and more."""
    keys = [EpisodeKey(name, "train" if k % 2 else "test", "reference", 7, k) for k in range(18)]
    noise = np.random.default_rng(0).normal(size=(18, grasp.DIM)) * grasp.SIGMA
    noise *= np.repeat([0.0, 0.6, 1.2], 6)[:, None]
    with SimulatedRig(film=False, soft=deformable) as rig:
        task = rig.task(name)
        truths = rig.reset_batch(keys).truths
        assert truths is not None
        grasps = np.stack([truth.human_grasp for truth in truths]) + noise
        return rig.execute_batch(grasps, [task.demonstration] * len(keys))


@pytest.mark.slow
@pytest.mark.parametrize("name", SOFT)
def test_rigid_and_soft_agree_on_who_succeeds_in_most_trials(name: str) -> None:
    rigid, deformable = play(name, deformable=False), play(name, deformable=True)
    assert not any(outcome.status.name == "FAULTED" for outcome in (*rigid, *deformable))
    assert rigid[0].signals.keys() == deformable[0].signals.keys(), "the same judge sees the same signals"
    one, other = (np.array([bool(outcome.success) for outcome in side]) for side in (rigid, deformable))
    agreement = float((one == other).mean())
    print(f"{name}: rigid {one.mean():.2f}, soft {other.mean():.2f}, agreement {agreement:.2f} of {len(one)}")
    assert 0.2 < one.mean() < 0.95, "the trials must tell success from failure"
    assert agreement >= LEAST_AGREEMENT[name]
    assert other.any()
    assert not other.all()


def test_a_rigid_task_is_as_ever_in_a_soft_rig() -> None:
    with SimulatedRig(film=False, soft=True) as rig:
        assert not rig.task("PickCup").soft
        assert rig.task("SqueezeLemon").soft

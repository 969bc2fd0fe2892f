"""Constraints that break: the same bits as looking after every tick, whatever the batch; who broke and who did not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deft_env import grasp
from deft_env.episode import EpisodeKey, generator
from deft_env.sim import breaks, controls, execute
from deft_env.sim.scenes import SceneModels
from deft_env.sim.world import PhysicsOptions
from deft_env.tasks.pick_grape import GRAPES, PickGrape, stretch_sensor
from deft_env.tasks.task import Breakable

N = 6
LIMIT_M = 0.006
BREAKABLES = tuple(Breakable(name, stretch_sensor(name), LIMIT_M) for name in GRAPES)


def look_every_tick(worlds: Any, index: int) -> None:
    """The same, written plainly."""
    model = worlds.model
    for world in range(worlds.nsim):
        for name in GRAPES:
            first = int(model.sensor(stretch_sensor(name)).adr[0])
            stretch = worlds.sensordata[world, first : first + 3]
            if stretch[0] * stretch[0] + stretch[1] * stretch[1] + stretch[2] * stretch[2] > LIMIT_M**2:
                worlds.eq_active[world, model.equality(name).id] = 0.0


@pytest.fixture(scope="module")
def bunches() -> tuple[list[Any], np.ndarray, np.ndarray]:
    """Models, states and controls of grasps of which some tear stems off."""
    task = PickGrape()
    models = SceneModels(task, PhysicsOptions(**task.physics))
    scenes = [task.draw(EpisodeKey("PickGrape", "train", "train", 3, k)) for k in range(N)]
    made = [models.model(scene) for scene in scenes]
    noise = generator("test breaks").standard_normal((N, grasp.DIM))
    wished = np.stack([task.human_grasp(scene) for scene in scenes]) + 1.2 * grasp.SIGMA * noise
    plan = controls.plan(wished, task.nominal_rotation, task.demonstration)
    parts = zip(made, scenes, plan.arm_qpos, plan.hand_qpos, strict=True)
    return made, np.stack([models.qpos(*part) for part in parts]), plan.controls[:, :130]


@pytest.fixture(scope="module")
def plainly(bunches: Any) -> execute.Playback:
    return execute.play(*bunches, substeps=2, film_every=5, tick=look_every_tick)


def same(a: execute.Playback, b: execute.Playback, rows: Any = slice(None)) -> bool:
    pairs = [(a.final_qpos, b.final_qpos), (a.film_qpos, b.film_qpos), (a.strike_n, b.strike_n)]
    pairs += [(a.sensors[name], b.sensors[name]) for name in a.sensors]
    return all(np.array_equal(one, other[rows]) for one, other in pairs)


def broken(played: execute.Playback) -> np.ndarray:
    lengths = [np.linalg.norm(played.sensors[stretch_sensor(name)], axis=2).max(axis=1) for name in GRAPES]
    return np.stack(lengths, axis=1) > LIMIT_M


@pytest.mark.parametrize("ahead", [1, 7, breaks.AHEAD_TICKS, 130])
def test_bits_are_those_of_looking_after_every_tick(
    bunches: Any, plainly: execute.Playback, ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 < broken(plainly).sum() < broken(plainly).size
    monkeypatch.setattr(breaks, "AHEAD_TICKS", ahead)
    assert same(execute.play(*bunches, substeps=2, film_every=5, breakables=BREAKABLES), plainly)


@pytest.mark.parametrize("rows", [[0], [5, 2]])
def test_bits_do_not_depend_on_the_batch(bunches: Any, plainly: execute.Playback, rows: list[int]) -> None:
    models, qpos, wished = bunches
    part = [models[i] for i in rows], qpos[rows], wished[rows]
    assert same(execute.play(*part, substeps=2, film_every=5, threads=2, breakables=BREAKABLES), plainly, rows)


def test_what_breaks_stays_broken_and_what_does_not_holds(bunches: Any, plainly: execute.Playback) -> None:
    whole = execute.play(*bunches, substeps=2)
    torn = broken(plainly).any(axis=1)
    for i in range(N):
        assert np.array_equal(whole.final_qpos[i], plainly.final_qpos[i]) != torn[i]


def test_an_unstable_world_is_faulted_and_alone(bunches: Any, plainly: execute.Playback) -> None:
    models, qpos, wished = bunches
    wrong = qpos.copy()
    wrong[2, models[2].jnt_qposadr[models[2].joint(GRAPES[0]).id]] = 1e11
    played = execute.play(models, wrong, wished, substeps=2, film_every=5, breakables=BREAKABLES)
    assert played.faulted.tolist() == [i == 2 for i in range(N)]
    assert "unstable" in played.reason[2]
    others = [i for i in range(N) if i != 2]
    for name, series in plainly.sensors.items():
        assert np.array_equal(played.sensors[name][others], series[others])


def test_mistakes_are_named(bunches: Any) -> None:
    models, qpos, wished = bunches
    with pytest.raises(ValueError, match="3 numbers"):
        execute.play(models, qpos, wished, substeps=2, breakables=[Breakable("grape0", "arm/joint1_position", 0.01)])
    with pytest.raises(ValueError, match="at most"):
        execute.play(models, qpos, wished, substeps=2, tick=look_every_tick, breakables=BREAKABLES)

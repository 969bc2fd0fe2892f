"""Stir Spoon: its judge on hand-made signals, its scenes, and a person's grasp of them."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import TICKS, TRAJECTORY, Signals, let_go, moved, persons, taken

from deft_env.episode import EpisodeKey
from deft_env.sim.world import PhysicsOptions
from deft_env.tasks import demonstrations
from deft_env.tasks.stir_spoon import StirSpoon


def stirred(way_deg: float, radius_m: float = 0.035, centre_m: float = 0.0, height_m: float = 0.03) -> Signals:
    """An episode as sensors would see it: the base goes ``way_deg`` on a circle ``centre_m`` off the pot's axis."""
    signals = taken()
    angle = np.deg2rad(way_deg) * moved(119.0)
    base = np.column_stack([centre_m + radius_m * np.cos(angle), radius_m * np.sin(angle), np.full(TICKS, height_m)])
    place = np.array([0.48, 0.1, 0.0])
    return signals | {"spoon/base": base + place, "pot/position": np.tile(place, (TICKS, 1))}


@pytest.mark.parametrize("way_deg", [200.0, -200.0, 400.0])
def test_half_way_round_is_a_success_in_either_direction(way_deg: float) -> None:
    task, signals = StirSpoon(), stirred(way_deg)
    assert task.success(signals)
    assert all(task.subgoals(signals).values())
    assert task.score(signals) == pytest.approx(0.5 + 0.5 * min(1.0, abs(way_deg) / 270.0), abs=0.01)


def test_less_than_half_way_is_not_stirring() -> None:
    task, signals = StirSpoon(), stirred(170.0)
    assert not task.success(signals)
    assert not task.subgoals(signals)["stirred half-way round the pot"]


def test_the_score_grows_with_the_way_round() -> None:
    assert np.all(np.diff([StirSpoon().score(stirred(way)) for way in (0.0, 60.0, 120.0, 180.0, 240.0)]) > 0.05)


def test_to_and_fro_is_not_round() -> None:
    """Three quarters of a circle in total, but never more than 100 degrees from where it began."""
    signals = stirred(0.0)
    angle = np.deg2rad(100.0) * np.abs(np.sin(np.linspace(0.0, 4 * np.pi, 120)))
    signals["spoon/base"][TRAJECTORY, :2] = [0.48, 0.1] + 0.035 * np.column_stack([np.cos(angle), np.sin(angle)])
    assert not StirSpoon().success(signals)


def test_a_circle_beside_the_axis_does_not_go_round_it() -> None:
    assert not StirSpoon().success(stirred(400.0, radius_m=0.02, centre_m=0.04))
    assert StirSpoon().success(stirred(400.0, radius_m=0.035, centre_m=0.01))


def test_a_spoon_that_is_pushed_round_without_being_held_is_not_stirred() -> None:
    signals = let_go(stirred(400.0), TRAJECTORY.start + 30)
    assert not StirSpoon().success(signals)
    assert 0.3 < StirSpoon().score(signals) < 0.7


def test_a_spoon_that_was_lifted_out_of_the_pot_stirs_nothing() -> None:
    signals = stirred(400.0, height_m=0.15)
    assert not StirSpoon().success(signals)
    assert StirSpoon().score(signals) == pytest.approx(0.3)


def test_a_spoon_that_was_never_touched_scores_nothing() -> None:
    signals = let_go(stirred(400.0), 0)
    assert StirSpoon().score(signals) == 0.0


def test_the_demonstration_file_is_what_the_script_makes() -> None:
    np.testing.assert_array_equal(StirSpoon().demonstration.displacements, demonstrations.PATHS["StirSpoon"]())


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_spoon_leans_in_the_pot_until_the_hand_arrives(split: str) -> None:
    import mujoco

    from deft_env.sim import controls
    from deft_env.sim.scenes import SceneModels

    task = StirSpoon()
    models = SceneModels(task, PhysicsOptions())
    for k in range(12):
        scene = task.draw(EpisodeKey("StirSpoon", split, "train", 5, k))
        model = models.model(scene)
        data = mujoco.MjData(model)
        data.qpos[:] = models.qpos(model, scene, *controls.parked())
        mujoco.mj_forward(model, data)
        assert all(contact.dist > -0.002 for contact in data.contact), "nothing starts inside another thing"
        before = data.sensor("spoon/base").data.copy(), data.body("spoon").xpos.copy()
        data.ctrl[:6] = data.qpos[[model.joint(f"arm/joint{i}").qposadr[0] for i in range(1, 7)]]
        mujoco.mj_step(model, data, nstep=300)
        assert np.linalg.norm(data.sensor("spoon/base").data - before[0]) < 0.01
        assert np.linalg.norm(data.body("spoon").xpos - before[1]) < 0.01


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_persons_grasp_stirs(split: str) -> None:
    outcomes = persons("StirSpoon", split, 6)
    assert sum(bool(outcome.success) for outcome in outcomes) >= 5

"""Pick Grape: its judge on hand-made signals, stems that break, its scenes, and a person's grasp of them."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import TICKS, Signals, let_go, moved, persons, taken

from deft_env import grasp
from deft_env.episode import EpisodeKey
from deft_env.rigs.simulated import SimulatedRig
from deft_env.sim import breaks, controls, execute
from deft_env.sim.controls import ControlOptions
from deft_env.sim.scenes import SceneModels
from deft_env.sim.world import PhysicsOptions
from deft_env.tasks import demonstrations
from deft_env.tasks.pick_grape import BREAK_M, GRAPES, STAND_M, PickGrape, places_m, stretch_sensor


def picked() -> Signals:
    """An episode as sensors would see it: the bunch is taken and lifted with all of its grapes."""
    signals = taken()
    rise = 0.12 * moved(100.0)
    for name, place in zip((*GRAPES, "stalk"), (*places_m(0.012), np.zeros(3)), strict=True):
        signals[f"{name}/position"] = place + np.array([0.45, 0.0, 0.03]) + rise[:, None] * [0.0, 0.0, 1.0]
    return (
        signals
        | {stretch_sensor(name): np.zeros((TICKS, 3)) for name in GRAPES}
        | {"bunch/table": np.zeros((TICKS, 1))}
    )


def test_a_whole_bunch_in_the_hand_is_a_success() -> None:
    task, signals = PickGrape(), picked()
    assert task.success(signals)
    assert task.score(signals) == pytest.approx(1.0)
    assert all(task.subgoals(signals).values())


def test_one_fallen_grape_is_a_failure() -> None:
    task, signals = PickGrape(), picked()
    signals["grape3/position"][-60:, 2] = 0.012
    signals[stretch_sensor("grape3")][-60:, 2] = -0.1
    signals["bunch/table"][-60:] = 1
    assert not task.success(signals)
    assert task.score(signals) == pytest.approx(0.45 + 0.35 * 5 / 6)
    assert [name for name, reached in task.subgoals(signals).items() if not reached] == [
        "broke no stem",
        "kept every grape above the table to the end",
    ]


def test_a_grape_left_on_the_stand_is_a_failure() -> None:
    signals = picked()
    signals["grape0/position"][:] = signals["grape0/position"][0]
    assert not PickGrape().success(signals)


def test_a_torn_grape_that_stays_in_the_hand_counts() -> None:
    task, signals = PickGrape(), picked()
    signals[stretch_sensor("grape1")][100:, 0] = 1.2 * BREAK_M
    assert task.success(signals)
    assert not task.subgoals(signals)["broke no stem"]


def test_the_score_grows_with_the_grapes_that_stay() -> None:
    scores = []
    for fallen in range(5):
        signals = picked()
        for name in GRAPES[:fallen]:
            signals[f"{name}/position"][-60:, 2] = 0.012
        scores.append(PickGrape().score(signals))
    assert np.all(np.diff(scores) < -0.05)


def test_a_bunch_that_nobody_holds_at_the_end_is_a_failure() -> None:
    assert not PickGrape().success(let_go(picked(), -25))


def test_a_bunch_that_was_never_touched_scores_nothing() -> None:
    signals = let_go(picked(), 0)
    for name in (*GRAPES, "stalk"):
        signals[f"{name}/position"][:] = signals[f"{name}/position"][0]
    assert PickGrape().score(signals) == 0.0


def test_neighbouring_grapes_do_not_overlap() -> None:
    for radius in (0.0115, 0.0135):
        places = places_m(radius)
        gaps = np.linalg.norm(places[:, None] - places, axis=-1)[~np.eye(6, dtype=bool)]
        assert gaps.min() >= 2 * radius
        assert places[:, 2].min() == pytest.approx(radius), "the lowest grapes lie on the stand"


@pytest.mark.parametrize(("pulled_m", "torn"), [(0.5 * BREAK_M, False), (5.0 * BREAK_M, True)])
def test_a_stem_breaks_for_good_and_only_where_it_was_stretched(pulled_m: float, torn: bool) -> None:
    """Three worlds without a hand near; in the second, one grape starts away from its place."""
    task = PickGrape()
    physics = PhysicsOptions(**task.physics)
    models = SceneModels(task, physics)
    scene = task.draw(EpisodeKey("PickGrape", "train", "train", 0, 0))
    model = models.model(scene)
    qpos = np.repeat(models.qpos(model, scene, *controls.parked())[None], 3, axis=0)
    outward = scene.poses["grape4"][0] - scene.poses["stalk"][0]
    outward[2] = 0.0
    address = model.jnt_qposadr[model.joint("grape4").id]
    qpos[1, address : address + 3] += pulled_m * outward / np.linalg.norm(outward)
    still = np.concatenate([controls.parked()[0], np.zeros(model.nu - 6)])
    record = execute.play(
        [model] * 3, qpos, np.tile(still, (3, 40, 1)), substeps=physics.substeps, tick=task.tick([model] * 3)
    )
    away = np.linalg.norm(record.sensors[stretch_sensor("grape4")][:, -1], axis=1)
    assert (away > BREAK_M).tolist() == [False, torn, False]
    if torn:
        assert record.sensors["grape4/position"][1, -1, 2] < STAND_M[1], "a torn grape falls to the table"
    others = [stretch_sensor(name) for name in GRAPES if name != "grape4"]
    assert max(np.linalg.norm(record.sensors[name][:, -1], axis=1).max() for name in others) < BREAK_M


def test_the_demonstration_file_is_what_the_script_makes() -> None:
    np.testing.assert_array_equal(PickGrape().demonstration.displacements, demonstrations.PATHS["PickGrape"]())


def play(keys: list[EpisodeKey], high_sigma: float = 0.0) -> list:
    rig = SimulatedRig(film=False)
    task = rig.task("PickGrape")
    grasps = np.array([truth.human_grasp for truth in rig.reset_batch(keys).truths])
    grasps[:, 2] += high_sigma * grasp.SIGMA[2]
    return rig.execute_batch(grasps, [task.demonstration] * len(keys))


def test_worlds_with_broken_stems_do_not_depend_on_their_batch() -> None:
    keys = [EpisodeKey("PickGrape", "train", "reference", 2, k) for k in range(5)]
    together = play(keys, high_sigma=1.0)
    broken = [k for k, o in enumerate(together) if not o.subgoals.get("broke no stem", True)]
    assert broken, "a hand this high is meant to break stems in some worlds"
    for k in (broken[0], (broken[0] + 1) % 5):
        alone = play([keys[k]], high_sigma=1.0)[0]
        for name, series in alone.signals.items():
            np.testing.assert_array_equal(series, together[k].signals[name], err_msg=name)


def test_the_rig_breaks_stems_as_one_that_looks_after_every_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [EpisodeKey("PickGrape", "train", "reference", 2, k) for k in range(5)]
    ours = play(keys, high_sigma=1.0)
    looked: list[int] = []
    stems = PickGrape.breakables

    def tick(self: PickGrape, models: list) -> object:
        look = breaks.tick(models[0], stems)

        def hook(batch: object, index: int) -> None:
            looked.append(index)
            look(batch, index)

        return hook

    monkeypatch.setattr(PickGrape, "breakables", ())
    monkeypatch.setattr(PickGrape, "tick", tick)
    every = play(keys, high_sigma=1.0)
    assert looked == list(range(ControlOptions().ticks))
    for one, other in zip(ours, every, strict=True):
        for name, series in one.signals.items():
            np.testing.assert_array_equal(series, other.signals[name], err_msg=name)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_persons_grasp_picks_every_grape(split: str) -> None:
    outcomes = persons("PickGrape", split, 6)
    assert sum(bool(outcome.success) for outcome in outcomes) >= 5


def test_a_harsh_or_high_grasp_costs_grapes_and_a_good_one_does_not() -> None:
    keys = [EpisodeKey("PickGrape", "train", "reference", 5, k) for k in range(16)]

    def lost(squeeze_rad: float, high_m: float) -> int:
        with SimulatedRig(film=False) as rig:
            task = rig.task("PickGrape")
            truths = rig.reset_batch(keys).truths
            assert truths is not None
            grasps = np.array([truth.human_grasp for truth in truths])
            grasps[:, [grasp.NAMES.index(f"{finger}_forward") for finger in grasp.FINGER_NAMES]] += squeeze_rad
            grasps[:, 2] += high_m
            played = rig.execute_batch(grasps, [task.demonstration] * len(keys))
        return sum(not o.success and not o.subgoals.get("broke no stem", True) for o in played)

    assert lost(0.0, 0.0) <= 1
    assert lost(0.2, 0.0) >= 2, "fingers closed too hard"
    assert lost(0.0, 0.02) >= 2, "fingers on the upper grapes alone"

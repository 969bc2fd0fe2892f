"""Attempts: what goes with the hand and what stays; files that can be resumed."""

import json

import numpy as np
import pytest

pytest.importorskip("mujoco")

from deft_env.encoders import attempts as at
from deft_env.encoders.carrying import Thing
from deft_env.video import synthetic_scene


def stage_of(source, index=0):
    return synthetic_scene.stage(source, 3, index, np.random.default_rng(index))


@pytest.fixture(autouse=True)
def _rendering():
    from deft_env.sim import gl

    try:
        at.make_scene(0, 1)
    except gl.RenderingUnavailableError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("source", ["PickCup", "PickGrape", "FlipBagel", synthetic_scene.SHAPE])
def test_all_of_a_thing_is_carried_as_one_and_put_back(source):
    import mujoco

    stage = stage_of(source)
    thing = Thing(stage)
    bodies = sorted({int(stage.model.geom_bodyid[g]) for g in stage.target})

    def places():
        data = mujoco.MjData(stage.model)
        data.qpos[:] = thing.qpos
        mujoco.mj_kinematics(stage.model, data)
        return data.xpos[bodies].copy()

    start = places()
    about, shift = start.mean(axis=0), np.array([0.02, -0.03, 0.1])
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    thing.carry(turn, about, shift)
    assert places() == pytest.approx(about + shift + (start - about) @ turn.T, abs=1e-9)
    thing.restore()
    assert places() == pytest.approx(start, abs=1e-12)
    thing.lay(turn, about, shift)
    assert thing._lowest_m() == pytest.approx(0.001, abs=1e-6)


def placed(source, kind):
    """Poses (n, 7) of a scene's loose bodies, the thing's own first, before and after an attempt of this kind."""
    thing = Thing(stage_of(source))
    bodies = [*[b for b in thing._bodies if thing._kinds(b) == [0]], *thing.loads]
    before = np.array([thing.qpos[thing._address(b)] for b in bodies])
    grip, turn, shift = before[0, :3], np.eye(3), np.array([0.05, 0.0, 0.1])
    at._place(thing, kind, grip, turn, shift, np.random.default_rng(0))
    return before, np.array([thing.qpos[thing._address(b)] for b in bodies])


def test_kinds_of_attempts_are_what_they_say():
    for kind in set(at.KINDS):
        before, after = placed("PickCup", kind)
        way = np.linalg.norm(after[0, :3] - before[0, :3])
        if kind == at.DONE:
            assert after[0, :3] - before[0, :3] == pytest.approx([0.05, 0.0, 0.1])
        elif kind in ("pretended", "missed", "early"):
            assert (after == before).all()
        elif kind == "pushed":
            assert 0.0 < way <= 0.08
            assert after[0, 2] == before[0, 2]
        else:
            assert (after[0, 3:] != before[0, 3:]).any()
            assert after[0, 2] < 0.1


def test_a_flipped_bagel_shows_its_other_side_and_a_dropped_one_does_not():
    from scipy.spatial.transform import Rotation

    def up(pose):
        return Rotation.from_quat(pose[3:], scalar_first=True).as_matrix()[2, 2]

    before, done = placed("FlipBagel", at.DONE)
    assert up(done[1]) == pytest.approx(-up(before[1]))
    before, dropped = placed("FlipBagel", "dropped")
    assert dropped[0, 2] == pytest.approx(before[0, 2] + 0.1)
    assert (dropped[1] == before[1]).all()


def test_a_scooped_grape_lies_over_the_bowl_and_only_when_it_is_done():
    before, done = placed("ScoopGrape", at.DONE)
    assert (np.linalg.norm(done[1:, :3] - done[0, :3], axis=1) < 0.011).sum() == 1
    assert len(before) > 2
    before, dropped = placed("ScoopGrape", "dropped")
    assert (dropped[1:] == before[1:]).all()
    assert not Thing(stage_of("SqueezeLemon")).loads


def test_a_drawer_slides_within_its_range():
    thing = Thing(stage_of("OpenDrawer"))
    assert thing.drawer is not None
    model = thing._stage.model
    address, (low, high) = model.jnt_qposadr[thing.drawer], model.jnt_range[thing.drawer]
    start = thing.qpos[address]
    shift = thing.pull(0.03)
    thing.carry(np.eye(3), np.zeros(3), shift)
    assert thing.qpos[address] - start == pytest.approx(min(0.03, high - start))
    thing.restore()
    thing.carry(np.eye(3), np.zeros(3), thing.pull(9.0))
    assert thing.qpos[address] == pytest.approx(high)
    thing.push(np.eye(3), np.zeros(3), np.array([9.0, 0.0, 0.0]))
    assert thing.qpos[address] == pytest.approx(low)


def test_a_scene_is_a_function_of_its_number():
    made = next(m for m in (at.make_scene(0, i) for i in range(1, 9)) if m is not None)
    index = next(i for i in range(1, 9) if at.make_scene(0, i) is not None)
    again = at.make_scene(0, index)
    before, after, words = made
    assert (before == again[0]).all()
    assert (after == again[1]).all()
    assert words == again[2]
    assert after.shape == (len(at.KINDS), at.IMAGE_PX, at.IMAGE_PX, 3)
    assert (np.abs(after.astype(int) - before).max(axis=(1, 2, 3)) > 20).all()  # the hand is in every one


def test_files_are_resumed_and_another_set_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(at, "PART", 2)
    rows = []
    at.make_attempts(at.AttemptsConfig(str(tmp_path), 4), rows.append)
    assert [row["scenes"] for row in rows] == [2, 4]
    found = at.read_attempts(tmp_path)
    assert 2 <= len(found.words) == len(found.before) == len(found.after) <= 4
    (tmp_path / "part-0001.npz").unlink()
    kept = (tmp_path / "part-0000.npz").stat().st_mtime_ns
    at.make_attempts(at.AttemptsConfig(str(tmp_path), 4))
    assert (tmp_path / "part-0000.npz").stat().st_mtime_ns == kept
    assert (at.read_attempts(tmp_path).after == found.after).all()
    with pytest.raises(ValueError, match="another configuration"):
        at.make_attempts(at.AttemptsConfig(str(tmp_path), 5))
    assert json.loads((tmp_path / "attempts.json").read_text())["seed"] == 0
    with pytest.raises(ValueError, match="holds 0 scenes"):
        at.read_attempts(tmp_path / "none")
    with pytest.raises(ValueError, match="at least 1"):
        at.AttemptsConfig("x", 0)

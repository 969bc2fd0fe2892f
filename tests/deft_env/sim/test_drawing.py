"""Pictures of whole batches, drawn by several threads: the same pixels, contexts made once, errors that are told."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pytest

from deft_env.demonstration import Demonstration
from deft_env.episode import EpisodeKey, Frame
from deft_env.rigs import simulated
from deft_env.rigs.rig import Frames
from deft_env.rigs.simulated import SimulatedRig
from deft_env.sim import gl, render
from deft_env.sim.scenes import SceneModels
from deft_env.sim.world import PhysicsOptions

TASKS = ("PickCup", "FlipBagel")
KEYS = [EpisodeKey(TASKS[k % 2], "train", "train", 5, k) for k in range(7)]


@pytest.fixture(scope="module", autouse=True)
def _opengl() -> None:
    try:
        gl.context(64, 64).free()
    except render.RenderingUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def contexts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The threads that made a context, one entry a context."""
    made: list[int] = []
    real = gl.context

    def counted(width: int, height: int) -> Any:
        made.append(threading.get_ident())
        return real(width, height)

    monkeypatch.setattr(gl, "context", counted)
    render.close_all()
    yield made
    render.close_all()


def _same(a: Frame, b: Frame) -> bool:
    return np.array_equal(a.rgb, b.rgb) and np.array_equal(a.depth_m, b.depth_m)


def _pictures(threads: int) -> tuple[list[Frame], list[Frame], list[np.ndarray]]:
    """First frames, last frames, and a film."""
    with SimulatedRig(threads=threads) as rig:
        frames = rig.reset_batch(KEYS)
        assert frames.truths is not None
        first = frames[:]
        demonstrations: list[Demonstration] = [rig.task(key.task).demonstration for key in KEYS]
        outcomes = rig.execute_batch(np.stack([truth.human_grasp for truth in frames.truths]), demonstrations)
        last = rig.many([outcome.last_frame for outcome in outcomes if outcome.last_frame is not None])
        assert outcomes[0].film is not None
        return first, last, list(outcomes[0].film())


def test_any_number_of_threads_draws_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "FILM_EVERY_TICKS", 40)
    one = _pictures(1)
    assert len(one[0]) == len(one[1]) == len(KEYS)
    for threads in (2, 4):
        several = _pictures(threads)
        for mine, theirs in zip(one[:2], several[:2], strict=True):
            assert all(_same(a, b) for a, b in zip(mine, theirs, strict=True))
        assert all(np.array_equal(a, b) for a, b in zip(one[2], several[2], strict=True))


def test_contexts_are_made_once_a_thread_and_freed_with_the_rig(contexts: list[int]) -> None:
    keys = [EpisodeKey("PickCup", "train", "train", 6, k) for k in range(12)]
    with SimulatedRig(threads=3) as rig:
        for _ in range(3):
            rig.reset_batch(keys)[:]
        assert len(contexts) == len(set(contexts)) <= 3
        assert len(contexts) > 1
    alive = {thread.ident for thread in threading.enumerate()}
    assert set(contexts) & alive == {threading.get_ident()} & set(contexts)


def test_one_frame_is_drawn_by_the_thread_that_asks(contexts: list[int]) -> None:
    with SimulatedRig(threads=3) as rig:
        frames = rig.reset_batch(KEYS)
        assert contexts == []  # nothing is drawn before somebody looks
        _ = frames[0]
        assert contexts == [threading.get_ident()]


def test_a_thread_without_a_context_tells_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    real, caller = gl.context, threading.get_ident()

    def poor(width: int, height: int) -> Any:
        if threading.get_ident() != caller:
            raise gl.RenderingUnavailableError(gl.NO_GL)
        return real(width, height)

    monkeypatch.setattr(gl, "context", poor)
    with (
        SimulatedRig(threads=2) as rig,
        pytest.raises(render.RenderingUnavailableError, match="libegl1 libgl1-mesa-dri"),
    ):
        rig.reset_batch(KEYS * 2)[:]


def test_threads_draw_on_displays_of_their_own_where_software_draws() -> None:
    """Else llvmpipe fills their pixels one after another."""
    main = gl.context(64, 64)
    kept, wait = [None], threading.Event()
    if not gl._displays or "llvmpipe" not in gl._displays[0].renderer:
        pytest.skip("no llvmpipe behind EGL here")

    def other() -> None:
        context = gl.context(64, 64)
        kept[0] = gl._local.held[0]
        context.free()
        wait.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    for _ in range(200):
        if kept[0] is not None:
            break
        threading.Event().wait(0.01)
    mine = gl._local.held[0]
    wait.set()
    thread.join(10)
    main.free()
    assert kept[0] is not None
    assert kept[0] is not mine
    assert kept[0].renderer == mine.renderer
    assert not kept[0].seats  # the thread has gone: the next one may have it


def test_a_slice_of_frames_draws_what_is_missing_and_no_more() -> None:
    drawn: list[int] = []
    batches: list[int] = []

    def draw(i: int) -> Any:
        drawn.append(i)
        return f"picture {i}"

    def many(works: Any) -> list[Any]:
        batches.append(len(works))
        return [work() for work in works]

    frames = Frames(KEYS, draw, None, many)
    assert frames[2] == "picture 2"
    assert frames[1:4] == ["picture 1", "picture 2", "picture 3"]
    assert drawn == [2, 1, 3]
    assert batches == [2]
    assert frames[:] == [f"picture {i}" for i in range(7)]
    assert sorted(drawn) == list(range(7))


class _Slow(list[Any]):
    """A list from which something is taken slowly, so that other threads come between."""

    def pop(self, index: Any = -1) -> Any:
        time.sleep(0.0002)
        return super().pop(index)


class _SlowLists(dict[Any, Any]):
    def setdefault(self, key: Any, default: Any = None) -> Any:
        return super().setdefault(key, _Slow(default))


def test_threads_may_share_the_models_of_scenes() -> None:
    """Models that are lent, overwritten and given back by many threads at once are each one scene's."""
    with SimulatedRig(threads=1) as rig:
        task = rig.task("PickCup")
    models, errors = SceneModels(task, PhysicsOptions(**task.solver)), []
    scenes = [task.draw(EpisodeKey("PickCup", "train", "train", 1, k)) for k in range(6)]
    compiled, compile_one = [], models._compile
    models._cache.cache_clear()

    def counted(variant: Any) -> Any:
        compiled.append(variant)
        return compile_one(variant)

    models._cache = lru_cache(maxsize=64)(counted)
    alone = [np.array(models.model(scene).body_mass) for scene in scenes]
    models._cache.cache_clear()
    compiled.clear()

    def use(seed: int) -> None:
        order = np.random.default_rng(seed).integers(len(scenes), size=120)
        try:
            for k in order:
                model = models.model(scenes[k])
                assert np.array_equal(model.body_mass, alone[k])
                models.recycle(scenes[k], model)
        except BaseException as error:
            errors.append(error)

    models._spare = _SlowLists()
    threads = [threading.Thread(target=partial(use, seed)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert len(compiled) == len(set(compiled))
    assert models._spare_count == sum(len(spare) for spare in models._spare.values())


def test_python_ends_though_nobody_closed_the_rig() -> None:
    code = (
        "from deft_env.episode import EpisodeKey\n"
        "from deft_env.rigs.simulated import SimulatedRig\n"
        "rig = SimulatedRig(threads=3)\n"
        "frames = rig.reset_batch([EpisodeKey('PickCup', 'train', 'train', 1, k) for k in range(6)])[:]\n"
        "print(len(frames))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "6"
    assert done.stderr == ""


def test_the_renderer_of_mujoco_may_draw_beside_ours() -> None:
    """It ends the display that both share when Python ends, whichever goes first."""
    code = (
        "import mujoco\n"
        "from deft_env.episode import EpisodeKey\n"
        "from deft_env.rigs.simulated import SimulatedRig\n"
        "model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><geom size=\"1\"/></worldbody></mujoco>')\n"
        "theirs = [mujoco.Renderer(model, 48, 64)]\n"
        "rig = SimulatedRig(threads=3)\n"
        "frames = rig.reset_batch([EpisodeKey('PickCup', 'train', 'train', 1, k) for k in range(6)])[:]\n"
        "theirs.append(mujoco.Renderer(model, 48, 64))\n"
        "again = rig.reset_batch([EpisodeKey('PickCup', 'train', 'train', 1, k) for k in range(6)])[:]\n"
        "print(all((a.rgb == b.rgb).all() for a, b in zip(frames, again)))\n"
    )
    environment = os.environ | {"MUJOCO_GL": "egl"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, env=environment
        )
    except subprocess.CalledProcessError as error:
        if "EGL" not in error.stderr:
            raise
        pytest.skip("no EGL here")
    assert done.stdout.strip() == "True"
    assert "Traceback" not in done.stderr

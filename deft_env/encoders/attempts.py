"""Synthetic attempts: the picture before, and pictures after a person did, or did not do, what the words say.

Clips of people who succeed show a hand and a thing that move together, so that the hand alone tells how far a clip is.
A robot's hand goes the same way whether it holds the thing or not. Hence attempts that fail, as people film them too
("pretending to …"), in the scenes of the synthetic videos (``video.synthetic_scene``): the train objects of the tasks
or random shapes, clutter, light, colours, camera. All is placed, nothing is simulated: the hand and what it carries go
as the task's demonstration goes, shapes are lifted, drawers pulled. No robot, no prior, no reward goes in. Our own; the
pairs are what LOReL (Nair et al. 2021) learns from.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from deft_env import observation
from deft_env.encoders.carrying import Thing
from deft_env.episode import Frame, generator
from deft_env.files import write_atomically
from deft_env.registries import TASK_WORDS, tasks
from deft_env.sim import controls, render
from deft_env.video import human_hand, synthetic_scene
from deft_env.video.crops import shrink
from deft_env.video.trajectory import GRASP_FROM_WRIST_M

Array = NDArray[np.float64]
Pictures = NDArray[np.uint8]

IMAGE_PX: Final = 112
"""Side of the pictures (our choice, for CPUs)."""
DONE: Final = "done"
KINDS: Final = (DONE, DONE, DONE, "pretended", "pretended", "missed", "pushed", "toppled", "dropped", "early")
"""Pictures after, of each scene (our choice): the thing goes with the hand; the hand goes alone, the thing stays; also
the hand was beside it; the thing was pushed along the table; it lies toppled; it fell on the way (a bagel from its
spatula as it lay, a grape from its spoon); nothing has happened yet."""
SHAPES: Final = 0.35
"""Share of scenes with a random shape instead of a task's objects (our choice)."""
PART: Final = 50
"""Scenes a file."""
MOST_YAW_RAD: Final = 0.7
"""A demonstration is turned by the hand's heading, at most this far (our choice: the tasks' own range)."""
Progress = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class AttemptsConfig:
    """One set of attempts.

    Attributes:
        out: folder; an interrupted run goes on there.
        scenes: how many are drawn; those in which the person finds no grasp are left out.
        seed: of everything.
        workers: processes; the result does not depend on it.

    Raises:
        ValueError: for less than one scene or process.
    """

    out: str
    scenes: int
    seed: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        if self.scenes < 1 or self.workers < 1:
            raise ValueError(f"scenes, workers: expected at least 1, got {self.scenes} and {self.workers}")


@dataclass(frozen=True, slots=True, eq=False)
class Attempts:
    """N scenes with K = ``len(KINDS)`` pictures after each.

    Attributes:
        before: (N, px, px, 3) uint8.
        after: (N, K, px, px, 3) uint8, in the order of ``KINDS``.
        words: what the person is asked to do.
    """

    before: Pictures
    after: Pictures
    words: tuple[str, ...]


def _dress(model: Any, rng: np.random.Generator) -> None:
    """Sleeves of any size and colour, half of the hands in gloves: it is the thing that must be looked at."""
    arm = model.geom(f"{human_hand.PREFIX}forearm").id
    half, radius = rng.uniform(0.08, 0.30), rng.uniform(0.022, 0.060)
    model.geom_size[arm, :2], model.geom_pos[arm], model.geom_rbound[arm] = (radius, half), (half, 0, 0), half + radius
    if rng.random() < 0.7:
        model.geom_rgba[arm, :3] = rng.uniform(0, 1, 3) if rng.random() < 0.6 else rng.uniform(0, 1)
    if rng.random() < 0.5:
        glove = rng.uniform(0, 1, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(0.1, 1.0))
        for geom in range(model.ngeom):
            if model.geom(geom).name.startswith(human_hand.PREFIX) and geom != arm:
                model.geom_rgba[geom, :3] = (glove * rng.uniform(0.9, 1.1)).clip(0, 1)


def _way(source: str, rotation: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Turn (3, 3) and shift (3,) m of the hand from grasp to end: the task's demonstration, or a lift of a shape."""
    if source == synthetic_scene.SHAPE:
        return np.eye(3), np.array([*rng.normal(0, 0.02, 2), rng.uniform(0.06, 0.16)])
    palm = -rotation[:, 1]
    yaw = float(np.clip(np.arctan2(-palm[0], palm[1]), -MOST_YAW_RAD, MOST_YAW_RAD))
    demonstration = tasks.entry(source).load()().demonstration
    shifts, turns = controls.trajectory_poses(np.zeros((1, 3)), np.eye(3)[None], np.array([yaw]), [demonstration])
    jitter = Rotation.from_rotvec(rng.normal(0, 0.04, 3)).as_matrix()
    return jitter @ turns[0, -1], shifts[0, -1] * rng.uniform(0.85, 1.15)


def _aside(rng: np.random.Generator, low_m: float, high_m: float) -> Array:
    """A shift (3,) m along the table."""
    angle, far = rng.uniform(-np.pi, np.pi), rng.uniform(low_m, high_m)
    return np.array([far * np.cos(angle), far * np.sin(angle), 0.0])


def _place(thing: Thing, kind: str, grip: Array, turn: Array, shift: Array, rng: np.random.Generator) -> None:
    """Puts the thing where an attempt of this kind leaves it."""
    if kind == DONE:
        thing.finish(turn, grip, shift, rng)
    elif kind == "pushed":
        about = Rotation.from_euler("z", rng.normal(0, 0.5)).as_matrix()
        thing.push(about, grip, _aside(rng, 0.001, 0.015 if thing.inside else 0.08))
    elif kind == "dropped" and (thing.riders or thing.loads):
        thing.spill(turn, grip, shift)
    elif kind in ("toppled", "dropped"):
        axis = _aside(rng, 1.0, 1.0)
        over = Rotation.from_rotvec(axis * rng.choice([np.pi / 2, rng.uniform(0.2, np.pi)])).as_matrix()
        along = shift * [1.0, 1.0, 0.0] if kind == "dropped" else np.zeros(3)
        thing.lay(over, grip, along + np.array([*rng.normal(0, 0.03, 2), 0.0]))


def make_scene(seed: int, index: int) -> tuple[Pictures, Pictures, str] | None:
    """Scene ``index``: the picture before (px, px, 3), pictures after (K, px, px, 3), the words; None without a grasp.

    A function of its arguments alone.
    """
    rng = generator("synthetic-attempts", seed, index)
    names = tuple(TASK_WORDS)
    source = synthetic_scene.SHAPE if rng.random() < SHAPES else names[int(rng.integers(len(names)))]
    stage = synthetic_scene.stage(source, seed, index, rng)
    thing, hand, model = Thing(stage), stage.hand, stage.model
    grasp = synthetic_scene.person_grasps(stage, rng)
    if grasp is None:
        return None
    _dress(model, rng)
    shadows = bool(rng.random() < 0.3)
    grip = grasp.position_m + grasp.rotation @ np.array(GRASP_FROM_WRIST_M)

    def picture() -> Pictures:
        rgb, depth_m = render.Scene(model, thing.qpos).rgbd(shadows=shadows, mipmaps=False)  # as the rig
        seen = observation.image(Frame(rgb, depth_m, stage.K, stage.T_world_cam))
        return shrink(seen[None], IMAGE_PX)[0]

    before, after = picture(), []
    for kind in KINDS:
        turn, shift = _way(source, grasp.rotation, rng)
        if thing.drawer is not None:
            turn, shift = np.eye(3), thing.pull(rng.uniform(0.02, 0.10))
        position, pose = grasp.position_m, grasp.pose
        if kind != DONE:
            pose = pose * rng.uniform(0.5, 1.05)
        if kind == "missed":
            position = position + _aside(rng, 0.02, 0.07) + np.array([0.0, 0.0, rng.uniform(0.0, 0.03)])
        if kind == "early":
            turn, shift, near = np.eye(3), np.zeros(3), rng.uniform()
            away = grasp.rotation @ np.array([0.22, 0.02, 0.0]) + np.array([0.0, 0.0, 0.06])
            position = position + (1 - near) * away
        thing.restore()
        _place(thing, kind, grip, turn, shift, rng)
        hand.place(turn @ grasp.rotation, grip + shift + turn @ (position - grip), pose)
        thing.qpos[hand.qpos] = stage.data.qpos[hand.qpos]
        after.append(picture())
        thing.restore()
    return before, np.array(after), stage.words


def _work(job: tuple[str, int, int, int]) -> int:
    path, seed, start, stop = Path(job[0]), *job[1:]
    if not path.is_file():
        made = [scene for scene in (make_scene(seed, i) for i in range(start, stop)) if scene is not None]
        buffer = io.BytesIO()
        shape = (0, IMAGE_PX, IMAGE_PX, 3)
        np.savez(
            buffer,
            before=np.array([m[0] for m in made]) if made else np.zeros(shape, np.uint8),
            after=np.array([m[1] for m in made]) if made else np.zeros((0, len(KINDS), *shape[1:]), np.uint8),
            words=np.array([m[2] for m in made], dtype=np.str_),
        )
        write_atomically(path, buffer.getvalue())
    return stop - start


def make_attempts(config: AttemptsConfig, progress: Progress = lambda row: None) -> None:
    """Writes all scenes, ``PART`` a file.

    Raises:
        ValueError: if ``out`` holds another set.
        RenderingUnavailableError: if there is no off-screen OpenGL.
    """
    root = Path(config.out)
    root.mkdir(parents=True, exist_ok=True)
    note = root / "attempts.json"
    fingerprint = json.dumps({k: v for k, v in asdict(config).items() if k not in ("out", "workers")}, sort_keys=True)
    if note.is_file() and note.read_text(encoding="utf-8") != fingerprint:
        raise ValueError(f"out: {root} holds attempts of another configuration; take another folder")
    write_atomically(note, fingerprint.encode())
    starts = range(0, config.scenes, PART)
    jobs = [(str(root / f"part-{s // PART:04d}.npz"), config.seed, s, min(s + PART, config.scenes)) for s in starts]
    drawn = 0
    if config.workers == 1:
        for job in jobs:
            drawn += _work(job)
            progress({"scenes": drawn, "of": config.scenes})
        return
    with get_context("spawn").Pool(config.workers) as pool:  # spawn: a process forked after an OpenGL context hangs
        for count in pool.imap_unordered(_work, jobs):
            drawn += count
            progress({"scenes": drawn, "of": config.scenes})


def read_attempts(folder: str | Path) -> Attempts:
    """What ``make_attempts`` wrote.

    Raises:
        ValueError: if the folder holds fewer than two scenes, or a file of other pictures.
    """
    before, after, words = [], [], []
    for path in sorted(Path(folder).glob("part-*.npz")):
        with np.load(path, allow_pickle=False) as part:
            before.append(part["before"])
            after.append(part["after"])
            words += [str(w) for w in part["words"]]
        shape = (len(before[-1]), len(KINDS), IMAGE_PX, IMAGE_PX, 3)
        if after[-1].shape != shape or before[-1].shape != shape[:1] + shape[2:]:
            raise ValueError(f"{path}: expected pictures after of shape {shape}, got {after[-1].shape}")
    if len(words) < 2:
        raise ValueError(f"attempts: {folder} holds {len(words)} scenes; make them with make_attempts")
    return Attempts(np.concatenate(before), np.concatenate(after), tuple(words))

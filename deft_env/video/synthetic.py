"""Synthetic human videos, with detector outputs, in the formats of the real ones: EPIC-KITCHENS-100, Detic, HaMeR.

Since the real datasets need licences, these stand in for them: a hand of capsules reaches for an object and grasps
it, seen by a camera. The detectors are imitated from the simulated truth with noise: boxes jitter, detections are
missed, hands are called right when they are left, poses are a few degrees off, some files are cut short. The pipeline
reads it unchanged (dataset ``epic-kitchens``, poses ``hamer``).
"""

from __future__ import annotations

import csv
import io
import pickle
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from deft_env.episode import generator
from deft_env.files import write_atomically
from deft_env.registries import TASK_WORDS
from deft_env.video import epic_protobuf
from deft_env.video.records import LEFT, RIGHT, Array, HandBox, ObjectBox
from deft_env.video.shards import write_manifest

COLUMNS: Final = (
    "narration_id", "participant_id", "video_id", "narration_timestamp", "start_timestamp", "stop_timestamp",
    "start_frame", "stop_frame", "narration", "verb", "verb_class", "noun", "noun_class", "all_nouns",
    "all_noun_classes",
)  # fmt: skip
WIDTH, HEIGHT = 640, 480
FRAMES: Final = 16
CONTACT: Final = 10
"""Frames of a clip, and the one in which the hand touches (our choice)."""
PICTURES: Final = ("first", "all")
LEAST_PX: Final = 60
"""A smaller region is not detected."""
SMOOTH: Final = 0.25
"""Share of clips drawn with smooth edges (and shadows), at several times the cost."""
LIFT_M: Final = 0.12
PULL: Final = 0.6
"""How far a thing is lifted by the clip's last frame; share of the way left that a drawer is pulled (our choice)."""
Progress = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Noise:
    """How the imitated detectors err (our choice, about what such detectors do).

    Attributes:
        box: standard deviation of a box's edges, share of its size.
        missed: probability that a detection is missing in a frame.
        false_contact: probability that contact is reported in a frame without.
        wrist_rad, joint_rad: standard deviation of the pose's rotations (per axis).
        keypoint_px: standard deviation of the joints in the picture.
        phantom: share of clips with a box around nothing.
        left, no_words, broken: shares of clips with a hand called left, without narration, with a file cut short.
    """

    box: float = 0.02
    missed: float = 0.03
    false_contact: float = 0.02
    wrist_rad: float = 0.05
    joint_rad: float = 0.05
    keypoint_px: float = 2.5
    phantom: float = 0.3
    left: float = 0.03
    no_words: float = 0.02
    broken: float = 0.01


@dataclass(frozen=True, slots=True)
class SyntheticConfig:
    """One set of synthetic videos.

    Attributes:
        out: folder; an interrupted run goes on there.
        clips: how many.
        seed: of everything.
        tasks: tasks whose TRAIN objects appear; objects of the test split never do.
        shapes: share of clips with random shapes instead.
        pictures: ``first`` renders the first and the contact frame of each clip (all that the labels need), ``all``
        every
            frame.
        view: ``rig`` or ``person``; see ``synthetic_scene.stage``.
        noise: of the imitated detectors.
        workers: processes; the result does not depend on it.
    """

    out: str
    clips: int
    seed: int = 0
    tasks: tuple[str, ...] = tuple(TASK_WORDS)
    shapes: float = 0.4
    pictures: str = "first"
    view: str = "rig"
    noise: Noise = Noise()
    workers: int = 1

    def __post_init__(self) -> None:
        if self.clips < 1 or self.workers < 1:
            raise ValueError(f"clips, workers: expected at least 1, got {self.clips} and {self.workers}")
        if self.pictures not in PICTURES:
            raise ValueError(f"pictures: expected one of {PICTURES}, got {self.pictures!r}")
        if self.view not in ("rig", "person"):
            raise ValueError(f"view: expected 'rig' or 'person', got {self.view!r}")
        unknown = set(self.tasks) - set(TASK_WORDS)
        if unknown or (not self.tasks and self.shapes < 1.0):
            raise ValueError(f"tasks: expected some of {sorted(TASK_WORDS)}, got {self.tasks}")


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def _regions(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Connected regions of at least ``LEAST_PX`` pixels: what a detector, or the segmentation by depth, calls one."""
    from scipy import ndimage

    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return [labels == i + 1 for i in range(count) if sizes[i] >= LEAST_PX]


def _box_of(mask: NDArray[np.bool_]) -> Array:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float64)


def _moved(stage: Any, qpos: Array, share: float) -> tuple[Array, Array]:
    """Joint positions (nq,) ``share`` of the way through what follows the grasp, and how far (3,) m the hand moves.

    What is loose is lifted with the hand, what slides is pulled along its joint; random shapes have no joint and stay.
    """
    import mujoco

    model, out, moved = stage.model, qpos.copy(), np.zeros(3)
    for body in {int(model.geom_bodyid[g]) for g in stage.target}:
        for joint in range(model.body_jntadr[body], model.body_jntadr[body] + model.body_jntnum[body]):
            address, kind = model.jnt_qposadr[joint], model.jnt_type[joint]
            if kind == mujoco.mjtJoint.mjJNT_FREE:
                moved = np.array([0.0, 0.0, LIFT_M * share])
                out[address : address + 3] += moved
            elif kind == mujoco.mjtJoint.mjJNT_SLIDE:
                step = PULL * share * float(model.jnt_range[joint, 1] - out[address])
                out[address] += step
                moved = step * stage.data.xaxis[joint]
    return out, moved


def _shaken(box: Array, noise: Noise, rng: np.random.Generator) -> Array:
    size = np.tile(box[2:] - box[:2], 2)
    return (box + rng.normal(0, noise.box, 4) * size).clip(0, [WIDTH, HEIGHT] * 2)


def _npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _pixels(points: Array, K: Array, T: Array) -> Array:
    camera = (points - T[:3, 3]) @ T[:3, :3]
    pixels: Array = (camera / camera[:, 2:]) @ K.T
    return pixels[:, :2]


def make_clip(config: SyntheticConfig, index: int) -> dict[str, str] | None:
    """Writes clip ``index`` and returns its row of the CSV; None where the person found no grasp.

    A function of the configuration's seed and ``index`` alone.
    """
    from deft_env.sim import render
    from deft_env.video import synthetic_scene

    rng = generator("synthetic-video", config.seed, index)
    shape = rng.random() < config.shapes or not config.tasks
    source = synthetic_scene.SHAPE if shape else config.tasks[int(rng.integers(len(config.tasks)))]
    stage = synthetic_scene.stage(source, config.seed, index, rng, config.view)
    absent = stage.data.qpos.copy()
    grasp = synthetic_scene.person_grasps(stage, rng)
    if grasp is None:
        return None
    root, video, noise = Path(config.out), f"S{config.seed:02d}_{index:06d}", config.noise
    left, broken = rng.random() < noise.left, rng.random() < noise.broken
    words = "" if rng.random() < noise.no_words else stage.words
    smooth, shadows = rng.random() < SMOOTH, rng.random() < 0.5
    for name in ("frames", "detic", "hamer"):
        (root / name / video).mkdir(parents=True, exist_ok=True)
    (root / "hand-objects").mkdir(exist_ok=True)
    away = grasp.position_m + grasp.rotation @ np.array([0.22, 0.02, 0.0]) + np.array([0.0, 0.0, 0.06])
    R_cam, messages = stage.T_world_cam[:3, :3].T, []
    first = render.Scene(stage.model, absent).segmentation()
    mask = max(
        _regions(np.isin(first, stage.group)), key=lambda m: int(np.isin(first[m], stage.target).sum()), default=None
    )
    if mask is None or not np.isin(first[mask], stage.target).any():
        return None
    box = _box_of(mask)
    beside = [m for geoms in (stage.group, *stage.clutter) for m in _regions(np.isin(first, geoms) & ~mask)]
    touched: Array | None = None
    for frame in range(1, FRAMES + 1):
        nearness = min(max(frame - 2, 0) / (CONTACT - 2), 1.0)
        seen = frame > 2
        pose = (0.35 + 0.65 * nearness) * grasp.pose
        drawn = config.pictures == "all" or frame in (1, CONTACT)
        qpos, shift = _moved(stage, absent, max(frame - CONTACT, 0) / (FRAMES - CONTACT))
        if seen:
            place = (1 - nearness) * away + nearness * grasp.position_m + shift
            stage.hand.place(grasp.rotation, place, pose)
            hand = stage.data.qpos[stage.hand.qpos]
            qpos[stage.hand.qpos] = hand
        scene = render.Scene(stage.model, qpos) if drawn else None
        if frame == CONTACT and scene is not None:  # what the detector still sees of the object behind the hand
            visible = max(_regions(np.isin(scene.segmentation(), stage.group) & mask), key=np.sum, default=None)
            touched = box if visible is None else _box_of(visible)
        if scene is not None:
            picture = scene.rgb() if smooth else scene.rgbd(shadows=shadows)[0]
            write_atomically(root / "frames" / video / f"frame_{frame:010d}.jpg", _jpeg(picture))
        hands, objects = [], []
        contact = frame >= CONTACT or (seen and rng.random() < noise.false_contact)
        keypoints = stage.hand.keypoints_m()
        if seen and rng.random() >= noise.missed:
            points = _pixels(keypoints, stage.K, stage.T_world_cam) + rng.normal(0, noise.keypoint_px, (21, 2))
            inside = points.clip(0, [WIDTH, HEIGHT])
            hand_box = np.concatenate([inside.min(0) - 6, inside.max(0) + 6]).clip(0, [WIDTH, HEIGHT] * 2)
            around = box if touched is None else touched
            centre = 0.5 * (around[:2] + around[2:]) + rng.normal(0, 8.0, 2)
            hands.append(
                HandBox(hand_box, float(rng.uniform(0.6, 1.0)), "portable" if contact else "none",
                        LEFT if left else RIGHT, centre)
            )  # fmt: skip
            _write_pose(root / "hamer" / video / f"{frame:010d}.npz", config, stage, grasp.rotation, pose, points,
                        keypoints[0], R_cam, rng, left, broken and frame == CONTACT)  # fmt: skip
        if seen and rng.random() >= noise.missed:
            objects.append(
                ObjectBox(_shaken(box if touched is None else touched, noise, rng), float(rng.uniform(0.5, 1)))
            )
        messages.append(epic_protobuf.encode(video, frame, hands, objects, WIDTH, HEIGHT))
        if frame == 1:
            found = [] if rng.random() < noise.missed else [_shaken(box, noise, rng)]
            found += [_shaken(_box_of(m), noise, rng) for m in beside if rng.random() >= noise.missed]
            extra = rng.uniform([0, 0], [WIDTH - 80, HEIGHT - 80])
            if rng.random() < noise.phantom:
                found.append(np.concatenate([extra, extra + rng.uniform(30, 80, 2)]))
            write_atomically(
                root / "detic" / video / f"{frame:010d}.npz",
                _npz(
                    pred_boxes=np.array(found), scores=rng.uniform(0.35, 0.95, len(found)),
                    pred_classes=np.zeros(len(found), np.int64), thing_classes=np.array(["object"]),
                ),
            )  # fmt: skip
    write_atomically(root / "hand-objects" / f"{video}.pkl", pickle.dumps(messages, protocol=4))
    values = (
        f"{video}_0", f"S{config.seed:02d}", video, "00:00:00.000", "00:00:00.00", "00:00:00.27", "1", str(FRAMES),
        words,
        words.split(" ")[0] if words else "", "0", words.split(" ")[-1] if words else "", "0",
        f"[{words.split(' ')[-1]!r}]", "[0]",
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _write_pose(
    path: Path, config: SyntheticConfig, stage: Any, rotation: Array, pose: Array, points: Array, wrist_m: Array,
    R_cam: Array, rng: np.random.Generator, left: bool, broken: bool,
) -> None:  # fmt: skip
    noise = config.noise
    turn = Rotation.from_matrix(R_cam @ rotation) * Rotation.from_rotvec(rng.normal(0, noise.wrist_rad, 3))
    joints = Rotation.from_rotvec(pose.reshape(15, 3)) * Rotation.from_rotvec(rng.normal(0, noise.joint_rad, (15, 3)))
    camera = R_cam @ (wrist_m - stage.T_world_cam[:3, 3])
    data = _npz(
        global_orient=turn.as_matrix()[None, None],
        hand_pose=joints.as_matrix()[None],
        right=np.array([0 if left else 1]),
        keypoints_px=points[None],
        position_m=camera[None] + rng.normal(0, 0.004, (1, 3)),
    )
    write_atomically(path, data[: len(data) // 2] if broken else data)


def _work(job: tuple[SyntheticConfig, int]) -> tuple[int, dict[str, str] | None]:
    config, index = job
    path = Path(config.out) / "rows" / f"{index:06d}.csv"
    if path.is_file():
        text = path.read_text(encoding="utf-8")
        return index, dict(zip(COLUMNS, next(csv.reader(io.StringIO(text))), strict=True)) if text.strip() else None
    row = make_clip(config, index)
    buffer = io.StringIO()
    if row is not None:
        csv.writer(buffer).writerow(row.values())
    write_atomically(path, buffer.getvalue().encode())
    return index, row


def make_videos(config: SyntheticConfig, progress: Progress = lambda row: None) -> Mapping[str, int]:
    """Writes all clips, ``EPIC_100_train.csv`` and ``manifest.json``; returns how many there are, and how many gave
    none.

    Raises:
        ValueError: if ``out`` holds another set.
        RenderingUnavailableError: if there is no off-screen OpenGL.
    """
    import json

    root = Path(config.out)
    (root / "rows").mkdir(parents=True, exist_ok=True)
    fingerprint = json.dumps({k: v for k, v in asdict(config).items() if k not in ("out", "workers")}, sort_keys=True)
    note = root / "synthetic.json"
    if note.is_file() and note.read_text(encoding="utf-8") != fingerprint:
        raise ValueError(f"out: {root} holds synthetic videos of another configuration; take another folder")
    write_atomically(note, fingerprint.encode())
    jobs = [(config, i) for i in range(config.clips)]
    rows: dict[int, dict[str, str] | None] = {}

    def take(result: tuple[int, dict[str, str] | None]) -> None:
        rows[result[0]] = result[1]
        progress({"clips": len(rows), "of": config.clips})

    if config.workers == 1:
        for job in jobs:
            take(_work(job))
    else:  # spawn: a process forked after an OpenGL context hangs
        with get_context("spawn").Pool(config.workers) as pool:
            for result in pool.imap_unordered(_work, jobs, chunksize=8):
                take(result)
    kept = [rows[i] for i in sorted(rows)]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS)
    writer.writeheader()
    writer.writerows(r for r in kept if r is not None)
    write_atomically(root / "EPIC_100_train.csv", buffer.getvalue().encode())
    counts = Counter("clips" if r is not None else "no grasp found" for r in kept)
    write_manifest(root, synthetic=True, counts=dict(counts))
    return dict(counts)

"""Scenes of synthetic videos: a task's objects (train split) or a random shape, clutter, light, camera, and a grasp
of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from deft_env.episode import EpisodeKey
from deft_env.registries import TASK_WORDS, tasks
from deft_env.sim import names, robot, world
from deft_env.sim.execute import robot_qpos
from deft_env.tasks.objects import SIZE_LEVELS
from deft_env.tasks.task import Scene, Task, Variant
from deft_env.video import human_hand

Array = NDArray[np.float64]

SHAPE_WORDS: Final = {
    "box": "box", "cylinder": "can", "stick": "stick", "ball": "ball", "mug": "mug", "bar": "bar", "tool": "tool"
}  # fmt: skip
VERBS: Final = ("pick up the {}", "take the {}", "grab the {}", "lift the {}")
SHAPE: Final = "shape"
WIDEST_M: Final = 0.095
"""Widest part that a hand closes round (assumed)."""
SIDE_M: Final = 0.07
"""What is taller is taken from the side, what is lower from above (our rule)."""
LOW_THIN_M: Final = 0.036
"""Half width up to which a low thing is pinched from above: there is no room to go round it (assumed)."""
LEAST_LEAN: Final = 0.35
MOST_LEAN: Final = 0.97
"""A slender part leans where the vertical share of its direction lies between these: 20 to 76 degrees (our choice)."""
FROM_BEYOND_RAD: Final = 2.3
"""No hand comes to the table from further round than this (our choice)."""
OTHER_SIZES: Final = 0.5
"""Share of task scenes whose object is drawn from a range of sizes three times as wide as the task's own (our choice:
the network must not know one cup alone)."""
REPAINTED: Final = 0.6
"""Share of task scenes whose colours are drawn anew (our choice)."""
CLUTTER_GAP_M: Final = 0.10
"""Clutter keeps this distance from the object's own space."""
SEED_OFFSET: Final = 900_000
"""Added to the seed of task scenes, so that no scene of an experiment is met in training."""


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """A compiled world with everything placed, before the hand moves.

    Attributes:
        model, data: MuJoCo's; ``data.qpos`` holds the placed objects.
        hand: the human hand in it.
        target: geoms of the object that is grasped.
        group: geoms of all that the task places, such as the chest round the drawer.
        clutter: geoms of each thing that has nothing to do with it.
        K, T_world_cam: camera.
        words: what the person is asked to do.
    """

    model: Any
    data: Any
    hand: human_hand.Hand
    target: tuple[int, ...]
    group: tuple[int, ...]
    clutter: tuple[tuple[int, ...], ...]
    K: Array
    T_world_cam: Array
    words: str


def _colour(rng: np.random.Generator) -> list[float]:
    return [*rng.uniform(0.05, 0.95, 3).tolist(), 1.0]


def _add_shape(body: Any, kind: str, rng: np.random.Generator) -> float:
    """Adds a random shape standing on the body's origin; returns the radius of its footprint."""
    box, cylinder, capsule = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_CAPSULE
    rgba = _colour(rng)
    if kind == "box":
        half = rng.uniform([0.015, 0.015, 0.015], [0.045, 0.042, 0.065])
        body.add_geom(type=box, pos=[0, 0, half[2]], size=half, rgba=rgba)
        return float(np.hypot(half[0], half[1]))
    if kind in ("cylinder", "mug"):
        r, h = rng.uniform(0.02, 0.043), rng.uniform(0.025, 0.065)
        body.add_geom(type=cylinder, pos=[0, 0, h], size=[r, h, 0], rgba=rgba)
        if kind == "mug":
            body.add_geom(type=cylinder, pos=[0, 0, 2 * h], size=[0.9 * r, 0.001, 0], rgba=[0.15, 0.13, 0.12, 1])
        return r
    if kind == "ball":
        r = rng.uniform(0.018, 0.042)
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, pos=[0, 0, r], size=[r, 0, 0], rgba=rgba)
        return r
    if kind == "tool":  # a rod with a head
        length, r = rng.uniform(0.04, 0.08), rng.uniform(0.005, 0.011)
        head = rng.uniform([0.012, 0.006, 0.003], [0.04, 0.025, 0.02])
        body.add_geom(type=capsule, fromto=[-length, 0, r, length, 0, r], size=[r, 0, 0], rgba=rgba)
        body.add_geom(type=box, pos=[length + head[0], 0, head[2]], size=head, rgba=_colour(rng))
        return float(length + 2 * head[0])
    length, r = rng.uniform(0.05, 0.12), rng.uniform(0.006, 0.014)
    lift = rng.uniform(0.0, 0.03)
    if kind == "stick":
        body.add_geom(type=capsule, fromto=[-length, 0, r + lift, length, 0, r + lift], size=[r, 0, 0], rgba=rgba)
        if lift > 0.01:
            for x in (-length, length):
                body.add_geom(type=capsule, fromto=[x, 0, r, x, 0, r + lift], size=[r, 0, 0], rgba=rgba)
    else:
        body.add_geom(type=box, pos=[0, 0, 1.3 * r], size=[length, r, 1.3 * r], rgba=rgba)
    return length


def _surroundings(spec: Any, rng: np.random.Generator, view: str) -> None:
    """Varies light, table, and the ego camera round the rig's own pose."""
    for light in spec.lights:
        light.diffuse = (np.array(light.diffuse) * rng.uniform(0.5, 1.5) * rng.uniform(0.85, 1.15, 3)).clip(0, 1)
        light.dir = np.array(light.dir) + rng.normal(0, 0.25, 3)
    spec.material("wood").rgba = [*rng.uniform(0.75, 1.2, 3) * rng.uniform(0.6, 1.2), 1.0]
    position = np.array(world.EGO_POSITION_M) + rng.normal(0, 0.035, 3)
    target = np.array(world.EGO_TARGET_M) + rng.normal(0, 0.025, 3)
    if view == "person":  # from the person's own head: round the target by half a turn
        position[:2] = 2 * target[:2] - position[:2]
    pose = world.look_at(tuple(position), tuple(target))
    pose[:3, :3] = pose[:3, :3] @ Rotation.from_euler("z", rng.normal(0, 0.03)).as_matrix()
    camera = spec.camera(names.EGO_CAMERA)
    camera.pos = pose[:3, 3]
    camera.quat = Rotation.from_matrix(pose[:3, :3] * np.array([1.0, -1.0, -1.0])).as_quat(scalar_first=True)


def _clutter(spec: Any, rng: np.random.Generator, centre: Array, clear_m: float) -> list[str]:
    """Adds up to four things beside the object; returns the names of their bodies."""
    kinds, added = list(SHAPE_WORDS), []
    for i in range(int(rng.integers(0, 5))):
        place = rng.uniform([0.18, -0.35], [0.72, 0.35])
        if np.linalg.norm(place - centre[:2]) < clear_m + CLUTTER_GAP_M:
            continue
        turn = Rotation.from_euler("z", rng.uniform(-np.pi, np.pi)).as_quat(scalar_first=True)
        body = spec.worldbody.add_body(name=f"clutter{i}", pos=[*place, 0.0], quat=turn)
        _add_shape(body, kinds[int(rng.integers(len(kinds)))], rng)
        added.append(f"clutter{i}")
    return added


def _resized(task: Task, scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene with its object's sizes drawn from three times the task's range; the poses follow."""
    levels = rng.integers(1 - SIZE_LEVELS, 2 * SIZE_LEVELS - 1, len(scene.variant.levels))
    made = replace(scene, variant=Variant(scene.variant.object, tuple(int(v) for v in levels)))
    return replace(made, poses=task.arrange(made, rng))


def _repaint(model: Any, geoms: Sequence[int], rng: np.random.Generator) -> None:
    """Gives each colour among ``geoms`` another one, now and then a little transparent; textures stay."""
    known: dict[tuple[float, ...], list[float]] = {}
    for geom in geoms:
        if model.geom_matid[geom] >= 0 or model.geom_rgba[geom, 3] == 0.0:
            continue
        old = tuple(model.geom_rgba[geom].round(3).tolist())
        if old not in known:
            known[old] = [*_colour(rng)[:3], float(rng.choice([1.0, 1.0, rng.uniform(0.65, 1.0)]))]
        model.geom_rgba[geom] = known[old]


def stage(source: str, seed: int, index: int, rng: np.random.Generator, view: str = "rig") -> Stage:
    """Builds one world.

    Args:
        source: a task's name (its train objects, placed as the task places them) or ``"shape"``.
        seed, index: name the task's scene.
        rng: draws everything else.
        view: ``"rig"``: round the pose of the rig's camera, which faces the reaching hand; ``"person"``: from the
            other side, as a camera on the person's own head sees it.
    """
    spec = world.base_spec()
    _surroundings(spec, rng, view)
    skin = np.array([0.86, 0.64, 0.52]) * rng.uniform(0.45, 1.1)
    human_hand.add_hand(spec, [*skin.clip(0, 1), 1.0])
    if source == SHAPE:
        kinds = list(SHAPE_WORDS)
        kind = kinds[int(rng.integers(len(kinds)))]
        place = np.array([*rng.uniform([0.38, -0.12], [0.56, 0.12]), 0.0])
        turn = Rotation.from_euler("z", rng.uniform(-np.pi / 2, np.pi / 2)).as_quat(scalar_first=True)
        body = spec.worldbody.add_body(name=SHAPE, pos=place, quat=turn)
        clear = _add_shape(body, kind, rng)
        words = VERBS[int(rng.integers(len(VERBS)))].format(SHAPE_WORDS[kind])
        bodies: tuple[str, ...] = (SHAPE,)
        poses: dict[str, tuple[Array, Array]] = {}
        centre = place
    else:
        task: Task = tasks.entry(source).load()()
        scene = task.draw(EpisodeKey(source, "train", "train", SEED_OFFSET + seed, index))
        if rng.random() < OTHER_SIZES:
            scene = _resized(task, scene, rng)
        task.build(spec, scene.variant)
        bodies, poses, centre, clear = task.bodies, dict(scene.poses), scene.position_m, 0.16
        words = TASK_WORDS[source].instruction
    others = _clutter(spec, rng, centre, clear)
    model = spec.compile()
    for name, (position, quaternion) in poses.items():
        body_id = model.body(name)
        if not body_id.jntnum[0]:
            model.body_pos[body_id.id], model.body_quat[body_id.id] = position, quaternion
    data = mujoco.MjData(model)
    data.qpos[:] = robot_qpos(model, model.qpos0, robot.ARM_PARKED_RAD, np.zeros(16))
    for name, (position, quaternion) in poses.items():
        body_id = model.body(name)
        if body_id.jntnum[0]:
            values = np.concatenate([position, quaternion])
            address = int(model.jnt_qposadr[body_id.jntadr[0]])
            data.qpos[address : address + len(values)] = values
    hand = human_hand.Hand(model, data)
    hand.place(np.eye(3), np.array([0.0, 0.0, -3.0]), np.zeros(45))
    roots = [model.body(b).id for b in bodies]
    target = tuple(g for g in range(model.ngeom) if model.geom_bodyid[g] in roots)
    placed = {int(model.body_rootid[model.body(b).id]) for b in (*bodies, *poses)}
    group = tuple(g for g in range(model.ngeom) if model.body_rootid[model.geom_bodyid[g]] in placed)
    if source != SHAPE and rng.random() < REPAINTED:
        _repaint(model, group, rng)
    clutter = tuple(tuple(g for g in range(model.ngeom) if model.geom_bodyid[g] == model.body(n).id) for n in others)
    camera = data.camera(names.EGO_CAMERA)
    mujoco.mj_camlight(model, data)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = camera.xmat.reshape(3, 3) * np.array([1.0, -1.0, -1.0]), camera.xpos
    return Stage(model, data, hand, target, group, clutter, world.camera_matrix(), pose, words)


def extents(model: Any, data: Any, geom: int) -> tuple[Array, Array, Array]:
    """A geom's centre (3,), half sizes (3,) and axes (3, 3), world, from its bounding box."""
    box = model.geom_aabb[geom]
    axes = data.geom_xmat[geom].reshape(3, 3)
    return data.geom_xpos[geom] + axes @ box[:3], box[3:], axes


def _is_loose(stage: Stage) -> bool:
    """Whether the object can be lifted: not a drawer or a door."""
    body = stage.model.geom_bodyid[stage.target[0]]
    free = mujoco.mjtJoint.mjJNT_FREE
    return bool(stage.model.body_jntnum[body] == 0 or stage.model.jnt_type[stage.model.body_jntadr[body]] == free)


def bunch(stage: Stage) -> tuple[Array, Array] | None:
    """Centre (3,) and half sizes (3,), world axes, of an object of several loose bodies that lie together; else None.

    A person takes a bunch of things whole, not by one of them (our rule): it is one where all of it fits into the hand
    and no side is much longer than another.
    """
    model = stage.model
    solid = [g for g in stage.target if model.geom_contype[g]]
    if len({int(model.geom_bodyid[g]) for g in solid}) < 2:
        return None
    boxes = [extents(model, stage.data, g) for g in solid]
    low = np.min([c - np.abs(axes) @ half for c, half, axes in boxes], axis=0)
    high = np.max([c + np.abs(axes) @ half for c, half, axes in boxes], axis=0)
    half = 0.5 * (high - low)
    if 2 * half[:2].max() > WIDEST_M or half.max() > 2.0 * half.min():
        return None
    return 0.5 * (low + high), half


def graspable(stage: Stage) -> list[tuple[float, int]]:
    """The object's parts that fit between thumb and fingers, best first.

    A part is good when it is easy to close round (narrow but not thin as paper), long, high above the table, and near
    the person: what makes a handle, a knob or a cup's wall a handle (our rule). Height counts most: under a part that
    lies on the table there is no room for fingertips.
    """
    out = []
    body = stage.model.geom_bodyid[stage.target[0]]
    middle = stage.data.xpos[body] + stage.data.xmat[body].reshape(3, 3) @ stage.model.body_ipos[body]
    loose = float(_is_loose(stage))
    for geom in stage.target:
        if stage.model.geom_contype[geom] == 0 and stage.model.body(stage.model.geom_bodyid[geom]).name != SHAPE:
            continue
        centre, half, axes = extents(stage.model, stage.data, geom)
        level = np.sort(2 * half[np.abs(axes[2]) < 0.8]) if (np.abs(axes[2]) > 0.8).any() else np.sort(2 * half)
        narrow, tall = float(level[0]), float(2 * np.abs(axes[2]) @ half)
        if not 0.006 < narrow < WIDEST_M:
            continue
        score = 6.0 * min(centre[2], 0.12) + 1.0 * min(float(2 * half.max()), 0.12) + 2.0 * min(tall, 0.1)
        score -= 0.5 * float(centre[0]) + 1.5 * float(np.linalg.norm(centre[:2] - middle[:2])) * loose
        score -= 0.1 if narrow < 0.01 else 0.0
        out.append((score, geom))
    return sorted(out, reverse=True)


def _leaning(axis: Array, reach_rad: float) -> tuple[float, float] | None:
    """Heading and tilt (rad) of fingers that take a part which leans; None where it does not lean (our rule).

    They come from above and square to it, since only so do pads close across the part: they head where it rises to, and
    point down as much as it is away from upright. But a hand does not come from beyond: a part that rises towards the
    person is taken from behind, fingers reaching down along it.
    """
    up = axis * (1.0 if axis[2] > 0 else -1.0)
    if not LEAST_LEAN < up[2] < MOST_LEAN:
        return None
    heading = float(np.arctan2(up[1], up[0]))
    if abs((heading - reach_rad + np.pi) % (2 * np.pi) - np.pi) > FROM_BEYOND_RAD:
        return heading + np.pi, float(np.arcsin(up[2]))
    return heading, float(np.arccos(up[2]))


def person_grasps(stage: Stage, rng: np.random.Generator, tries: int = 10) -> human_hand.Grasp | None:
    """A person's grasp of the object, by the rule of ``human_hand`` and this module; None where none was found.

    Tall things are taken from the side, low ones from above; the hand closes across the part's narrow side, reaches
    from the robot's side of the table, and heads for what the right shoulder reaches easily.
    """
    model, data = stage.model, stage.data
    table = model.geom(names.TABLE_GEOM).id
    loose = _is_loose(stage)
    whole = bunch(stage)
    parts = graspable(stage)
    for attempt in range(tries):
        if whole is not None:
            centre, half, axes = *whole, np.eye(3)
            taken = [g for g in stage.target if model.geom_contype[g]]
        elif parts:
            geom = parts[0 if attempt < 7 else min(1, len(parts) - 1)][1]
            centre, half, axes = extents(model, data, geom)
            taken = [geom]
        else:
            return None
        tall = float(np.abs(axes[2]) @ half) * 2
        reach = np.arctan2(centre[1] + 0.05, centre[0] + 0.25)
        longest = axes[:, int(np.argmax(half))] * 1.0
        level = np.hypot(longest[0], longest[1])
        slender = half.max() > 1.6 * np.sort(half)[1]
        leaning = _leaning(longest, reach) if slender and loose else None
        if leaning is not None:
            heading, tilt = leaning[0], leaning[1] + rng.normal(0, 0.08)
        elif slender and level > 0.8:
            heading = float(np.arctan2(longest[1], longest[0]))
            heading = (heading - reach + np.pi / 2) % np.pi - np.pi / 2 + reach
            sticks_out = centre[2] > 0.03 and abs(heading - reach) < 0.7 and tall < 0.04
            tilt = rng.normal(0.7 if sticks_out and centre[0] > 0.5 else 1.35, 0.1)
        elif (tall > SIDE_M or not loose) and whole is None:
            heading, tilt = reach, rng.normal(0.25, 0.08)
        else:
            heading, tilt = reach, rng.normal(1.35, 0.1)
            if half[:2].min() < 0.8 * half[:2].max() and np.abs(axes[2, 2]) > 0.8:  # a block: across its narrow side
                side = axes[:, int(np.argmin(half[:2]))]
                across = float(np.arctan2(side[1], side[0])) - np.pi / 2
                heading = (across - reach + np.pi / 2) % np.pi - np.pi / 2 + reach
        heading += rng.normal(0, 0.06)
        rotation = human_hand.orientation(heading, float(np.clip(tilt, 0.1, 1.55)), rng.normal(0, 0.06))
        place = centre + rng.normal(0, 0.004, 3)
        if leaning is not None:  # past its middle, the way that the fingers head
            ahead = longest * np.sign(longest[:2] @ [np.cos(heading), np.sin(heading)])
            place += ahead * 2 * half.max() * rng.uniform(0.05, 0.22)
        elif tall > SIDE_M and whole is None and not (slender and level > 0.8):
            place[2] = max(centre[2] + tall * rng.uniform(0.05, 0.22), 0.055)
        others = [g for g in stage.target if g not in taken and model.geom_contype[g]]
        across = np.abs(axes.T @ np.array([-np.sin(heading), np.cos(heading), 0.0]))
        width = float(np.sort(half)[1] if slender else min(across @ half, np.sort(half)[1] * 1.05))
        if width <= (human_hand.THIN_M if tall > SIDE_M and whole is None else LOW_THIN_M):
            # What is wider than the thumb reaches round is taken by its top, where it is narrower.
            place[2] += 0.15 * tall * (width > human_hand.THIN_M)
            grasp = human_hand.pinch(rotation, place, min(width, human_hand.THIN_M))
            if grasp is not None:
                stage.hand.place(grasp.rotation, grasp.position_m, grasp.pose)
        else:
            grasp = human_hand.close(stage.hand, rotation, place, width, taken, [table, *others])
        if grasp is not None:
            return grasp
    return None

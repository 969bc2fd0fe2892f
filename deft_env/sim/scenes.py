"""Drawn scenes to compiled models: one compilation a variant, one cheap copy an episode with its masses and poses."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import mujoco
import numpy as np
from numpy.typing import NDArray

from deft_env.sim import names
from deft_env.sim.world import PhysicsOptions, base_spec
from deft_env.tasks.task import Scene, Task, Variant

Array = NDArray[np.float64]
_DRAWN: Final = ("body_mass", "body_inertia", "body_pos", "body_quat", "geom_friction", "flex_friction")
"""Model fields that differ between the scenes of a variant; others follow from them by ``mj_setConst``."""


@dataclass(frozen=True, slots=True, eq=False)
class _Compiled:
    """The model of a variant and what is looked up in it again and again.

    Attributes:
        model: shared, not to be written to.
        sizes: what decides whether an MjData fits.
        robot: (22,) addresses of the arm's and the hand's joint positions.
        bodies: number of each body, by name.
        touchable: numbers of each body's colliding geoms, by name of the body.
        joints: address of the first joint position of each body that has joints of its own, by name.
    """

    model: mujoco.MjModel
    sizes: tuple[int, ...]
    robot: NDArray[np.intp]
    bodies: dict[str, int]
    touchable: dict[str, NDArray[np.intp]]
    joints: dict[str, int]

    @classmethod
    def of(cls, model: mujoco.MjModel) -> _Compiled:
        """Looks everything up."""
        robot = [int(model.joint(name).qposadr[0]) for name in (*names.ARM_JOINTS, *names.HAND_JOINTS)]
        bodies = {model.body(i).name: i for i in range(model.nbody)}
        touchable, joints = {}, {}
        for name, i in bodies.items():
            geoms = model.body_geomadr[i] + np.arange(model.body_geomnum[i])
            touchable[name] = geoms[model.geom_contype[geoms] != 0]
            if model.body_jntnum[i]:
                joints[name] = int(model.jnt_qposadr[model.body_jntadr[i]])
        return cls(model, _sizes(model), np.array(robot), bodies, touchable, joints)


class SceneModels:
    """Compiled models of one task, made when first needed and kept; threads may share it."""

    def __init__(self, task: Task, options: PhysicsOptions, *, kept: int = 256) -> None:
        """Compiles nothing yet; ``kept`` bounds how many variants, and models of scenes, stay in memory."""
        self.task, self.options = task, options
        self._cache = lru_cache(maxsize=kept)(self._compile)
        self._workplace: mujoco.MjSpec | None = None
        self._lock, self._local = threading.Lock(), threading.local()
        self._kept, self._spare_count = kept, 0
        self._spare: dict[Variant, list[mujoco.MjModel]] = {}

    def _compiled(self, variant: Variant) -> _Compiled:
        with self._lock:  # so that threads that need the same at once compile it once
            return self._cache(variant)

    def _compile(self, variant: Variant) -> _Compiled:
        if self._workplace is None:
            self._workplace = base_spec(self.options)
        spec = self._workplace.copy()
        self.task.build(spec, variant)
        return _Compiled.of(spec.compile())

    def base(self, variant: Variant) -> mujoco.MjModel:
        """The compiled model of a variant; shared, not to be written to."""
        return self._compiled(variant).model

    def scratch(self, variant: Variant) -> mujoco.MjData:
        """An MjData of the variant's sizes, for what is over at once: this thread's next call may write into it.

        Making one costs ten times what ``mj_setConst`` does, which leaves nothing of it in the model.
        """
        compiled = self._compiled(variant)
        made: dict[tuple[int, ...], mujoco.MjData] = self._local.__dict__.setdefault("data", {})
        if compiled.sizes not in made:
            made[compiled.sizes] = mujoco.MjData(compiled.model)
        return made[compiled.sizes]

    def model(self, scene: Scene) -> mujoco.MjModel:
        """A model of its own for a scene: masses, friction and the places of fixed bodies as drawn."""
        compiled = self._compiled(scene.variant)
        model = self._take(scene.variant)
        if model is not None:
            for name in _DRAWN:
                getattr(model, name)[:] = getattr(compiled.model, name)
        else:
            model = copy.copy(compiled.model)
        for name, factor in scene.mass_scale.items():
            body = compiled.bodies[name]
            model.body_mass[body] *= factor
            model.body_inertia[body] *= factor
        for name, friction in scene.friction.items():
            model.geom_friction[compiled.touchable[name], 0] = friction
        for flex in range(model.nflex):  # a deformable thing is named like the body that it replaces
            name = mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_FLEX, flex)
            first, count = int(model.flex_nodeadr[flex]), int(model.flex_nodenum[flex])
            nodes = model.flex_nodebodyid[first : first + count]
            model.body_mass[nodes] *= scene.mass_scale[name]
            model.body_inertia[nodes] *= scene.mass_scale[name]
            model.flex_friction[flex, 0] = scene.friction[name]
        for name, (position, quaternion) in scene.poses.items():
            if name not in compiled.joints:
                body = compiled.bodies[name]
                model.body_pos[body], model.body_quat[body] = position, quaternion
        # Constants that follow from masses and places, such as the inverse weights that scale contact softness.
        mujoco.mj_setConst(model, self.scratch(scene.variant))
        return model

    def _take(self, variant: Variant) -> mujoco.MjModel | None:
        """A model that was given back, if there is one."""
        with self._lock:
            spare = self._spare.get(variant)
            if not spare:
                return None
            self._spare_count -= 1
            return spare.pop()

    def recycle(self, scene: Scene, model: mujoco.MjModel) -> None:
        """Takes back what ``model(scene)`` gave and nobody holds any more: another scene will overwrite it."""
        with self._lock:
            if self._spare_count < self._kept:
                self._spare_count += 1
                self._spare.setdefault(scene.variant, []).append(model)

    def qpos(self, model: mujoco.MjModel, scene: Scene, arm_rad: Any, hand_rad: Any) -> Array:
        """Initial joint positions (nq,): objects as drawn, arm (6,) and hand (16,) as given, rad."""
        qpos, compiled = np.array(model.qpos0), self._compiled(scene.variant)
        qpos[compiled.robot] = np.concatenate([arm_rad, hand_rad])
        for name, (position, quaternion) in scene.poses.items():
            if name in compiled.joints:
                address = compiled.joints[name]
                values = np.concatenate([position, quaternion])
                qpos[address : address + len(values)] = values
        return qpos


def _sizes(model: mujoco.MjModel) -> tuple[int, ...]:
    """Every size of a model (nq, nv, …): what decides how large its MjData is, and more."""
    values = (getattr(model, name) for name in dir(model) if name.startswith("n"))
    return tuple(value for value in values if isinstance(value, int))


def layout(model: mujoco.MjModel) -> tuple[int, ...]:
    """What must agree for models to share a native batch: equal for variants of one builder."""
    return (model.nq, model.nv, model.nu, model.nbody, model.ngeom, model.njnt, model.nsensordata, model.nmesh,
            model.nmeshvert, model.ntendon, model.neq, model.nsite, model.nflexvert, model.nM)  # fmt: skip

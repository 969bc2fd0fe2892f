"""Drawn scenes to compiled models: one compilation a variant, one cheap copy an episode with its masses and poses."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from deft_env.sim.execute import robot_qpos
from deft_env.sim.world import PhysicsOptions, base_spec
from deft_env.tasks.task import Scene, Task, Variant

Array = NDArray[np.float64]


class SceneModels:
    """Compiled models of one task, made when first needed and kept."""

    def __init__(self, task: Task, options: PhysicsOptions, *, kept: int = 256) -> None:
        """Compiles nothing yet; ``kept`` bounds how many variants stay in memory."""
        self.task, self.options = task, options
        self._compiled = lru_cache(maxsize=kept)(self._compile)
        self._workplace: mujoco.MjSpec | None = None
        self._scratch: dict[tuple[int, ...], mujoco.MjData] = {}

    def _compile(self, variant: Variant) -> tuple[mujoco.MjModel, mujoco.MjData]:
        """The model of a variant, and an MjData to compute its constants in, shared by all models of its sizes.

        An MjData costs ten times what ``mj_setConst`` does, which leaves nothing of it in the model.
        """
        if self._workplace is None:
            self._workplace = base_spec(self.options)
        spec = self._workplace.copy()
        self.task.build(spec, variant)
        model = spec.compile()
        sizes = _sizes(model)
        if sizes not in self._scratch:
            self._scratch[sizes] = mujoco.MjData(model)
        return model, self._scratch[sizes]

    def base(self, variant: Variant) -> mujoco.MjModel:
        """The compiled model of a variant; shared, not to be written to."""
        return self._compiled(variant)[0]

    def model(self, scene: Scene) -> mujoco.MjModel:
        """A model of its own for a scene: masses, friction and the places of fixed bodies as drawn."""
        base, scratch = self._compiled(scene.variant)
        model = copy.copy(base)
        for name, factor in scene.mass_scale.items():
            body = model.body(name).id
            model.body_mass[body] *= factor
            model.body_inertia[body] *= factor
        for name, friction in scene.friction.items():
            first, count = int(model.body(name).geomadr[0]), int(model.body(name).geomnum[0])
            for geom in range(first, first + count):
                if model.geom_contype[geom]:
                    model.geom_friction[geom, 0] = friction
        for name, (position, quaternion) in scene.poses.items():
            body = model.body(name)
            if not body.jntnum[0]:
                model.body_pos[body.id], model.body_quat[body.id] = position, quaternion
        # Constants that follow from masses and places, such as the inverse weights that scale contact softness.
        mujoco.mj_setConst(model, scratch)
        return model

    @staticmethod
    def qpos(model: mujoco.MjModel, scene: Scene, arm_rad: Any, hand_rad: Any) -> Array:
        """Initial joint positions (nq,): objects as drawn, arm (6,) and hand (16,) as given, rad."""
        qpos = robot_qpos(model, model.qpos0, arm_rad, hand_rad)
        for name, (position, quaternion) in scene.poses.items():
            body = model.body(name)
            if body.jntnum[0]:
                address = int(model.jnt_qposadr[body.jntadr[0]])
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

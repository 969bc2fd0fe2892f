"""Moves the thing that a synthetic person takes: all its loose bodies together, without physics."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from deft_env.video.synthetic_scene import Stage, extents

Array = NDArray[np.float64]

_BALL, _FREE, _SLIDE = mujoco.mjtJoint.mjJNT_BALL, mujoco.mjtJoint.mjJNT_FREE, mujoco.mjtJoint.mjJNT_SLIDE
_OVER_BOWL_M = 0.010
"""How high the middle of what was scooped lies above the middle of the spoon's bowl (our choice)."""


def _turned(rotation: Array, quaternion: Array) -> Array:
    """A quaternion wxyz (4,) after ``rotation`` (3, 3)."""
    after = Rotation.from_matrix(rotation) * Rotation.from_quat(quaternion, scalar_first=True)
    turned: Array = after.as_quat(scalar_first=True)
    return turned


class Thing:
    """The target of a stage.

    Attributes:
        qpos: (nq,) joint positions of the whole world, as left by the last call; the hand's are the caller's.
        drawer: its joint, where the thing is a drawer; else None.
        inside: whether it is only a part of what the task places, such as a spoon in a pot.
        riders: loose bodies that lie on the one that is taken, such as a bagel on a spatula.
        loads: loose bodies beside it that are to be scooped; none where the words do not say so.
    """

    def __init__(self, stage: Stage) -> None:
        """Remembers where everything is; call it before the hand is placed."""
        self._stage = stage
        model = stage.model
        self._bodies = sorted({int(model.geom_bodyid[g]) for g in stage.target})
        first = self._bodies[0]
        single = len(self._bodies) == 1
        self._fixed = first if single and not model.body_jntnum[first] else None  # a shape: the model itself is changed
        joint = int(model.body_jntadr[first])
        slides = single and model.body_jntnum[first] == 1 and model.jnt_type[joint] == _SLIDE
        self.drawer = joint if slides else None
        self.inside = len(stage.group) > len(stage.target)
        loose = [b for b in self._bodies if self._kinds(b) == [_FREE]]
        self.riders = loose[1:]
        around = sorted({int(model.geom_bodyid[g]) for g in stage.group} - set(self._bodies))
        scooped = stage.words.startswith("scoop")
        self.loads = [b for b in around if self._kinds(b) == [_FREE]] if scooped else []
        self._start = stage.data.qpos.copy()
        self._home = (model.body_pos[first].copy(), model.body_quat[first].copy())
        self.qpos = self._start.copy()

    def _kinds(self, body: int) -> list[int]:
        first, count = int(self._stage.model.body_jntadr[body]), int(self._stage.model.body_jntnum[body])
        return [int(kind) for kind in self._stage.model.jnt_type[first : first + count]]

    def _address(self, body: int) -> slice:
        """Where a loose body's seven numbers lie in ``qpos``."""
        at = int(self._stage.model.jnt_qposadr[self._stage.model.body_jntadr[body]])
        return slice(at, at + 7)

    def restore(self) -> None:
        """Puts everything back to the start."""
        self.qpos = self._start.copy()
        if self._fixed is not None:
            self._stage.model.body_pos[self._fixed], self._stage.model.body_quat[self._fixed] = self._home

    def pull(self, way_m: float) -> Array:
        """The hand's shift (3,) m for a drawer that is pulled by ``way_m``, or as far as it goes."""
        model, joint = self._stage.model, self.drawer
        assert joint is not None
        left = float(model.jnt_range[joint, 1] - self._start[model.jnt_qposadr[joint]])
        shift: Array = min(way_m, left) * self._stage.data.xaxis[joint]
        return shift

    def carry(self, turn: Array, about_m: Array, shift_m: Array) -> None:
        """Turns the thing by ``turn`` (3, 3) about a point and shifts it; a drawer slides as far as the shift says."""
        model, data = self._stage.model, self._stage.data
        if self.drawer is not None:
            address = int(model.jnt_qposadr[self.drawer])
            low, high = model.jnt_range[self.drawer]
            self.qpos[address] = np.clip(self.qpos[address] + shift_m @ data.xaxis[self.drawer], low, high)
            return
        if self._fixed is not None:
            body = self._fixed
            model.body_pos[body] = about_m + shift_m + turn @ (model.body_pos[body] - about_m)
            model.body_quat[body] = _turned(turn, model.body_quat[body])
        for body in self._bodies:
            first, kinds = int(model.body_jntadr[body]), self._kinds(body)
            if kinds == [_FREE]:
                at = self._address(body).start
                self.qpos[at : at + 3] = about_m + shift_m + turn @ (self.qpos[at : at + 3] - about_m)
                self.qpos[at + 3 : at + 7] = _turned(turn, self.qpos[at + 3 : at + 7])
            elif kinds[:3] == [_SLIDE] * 3:  # part of a bunch; a berry does not spin, the stalk does
                adr = model.jnt_qposadr[first : first + 3]
                axes = data.xaxis[first : first + 3]
                now = data.xpos[body] + axes.T @ (self.qpos[adr] - self._start[adr])
                self.qpos[adr] += axes @ (about_m + shift_m + turn @ (now - about_m) - now)
                if kinds[3:] == [_BALL]:
                    parent = data.xmat[model.body_parentid[body]].reshape(3, 3)
                    at = int(model.jnt_qposadr[first + 3])
                    self.qpos[at : at + 4] = _turned(parent.T @ turn @ parent, self.qpos[at : at + 4])

    def finish(self, turn: Array, about_m: Array, shift_m: Array, rng: np.random.Generator) -> None:
        """Carries the thing to where it was to go; what rode on it has fallen off the other way up, a spoon is full."""
        self.carry(turn, about_m, shift_m)
        for body in self.riders:
            at = self._address(body).start
            side, far = rng.uniform(-np.pi, np.pi), rng.uniform(0.0, 0.05)
            axis = np.array([np.cos(side), np.sin(side), 0.0])
            self.qpos[at : at + 2] += far * axis[:2]
            self.qpos[at + 2] = self._start[at + 2]
            over = Rotation.from_rotvec(np.pi * axis).as_matrix()
            self.qpos[at + 3 : at + 7] = _turned(over, self._start[at + 3 : at + 7])
        if self.loads:
            bowl = self._address(self._bodies[0]).start
            at = self._address(self.loads[int(rng.integers(len(self.loads)))]).start
            self.qpos[at : at + 3] = self.qpos[bowl : bowl + 3] + np.array([0.0, 0.0, _OVER_BOWL_M])

    def spill(self, turn: Array, about_m: Array, shift_m: Array) -> None:
        """Carries the thing alone; what rode on it or was to be scooped stays as it lay."""
        self.carry(turn, about_m, shift_m)
        for body in self.riders:
            at = self._address(body)
            self.qpos[at] = self._start[at]

    def push(self, turn: Array, about_m: Array, shift_m: Array) -> None:
        """The same, for a thing that slides along the table; a drawer is pushed in as far as the shift is long."""
        if self.drawer is not None:
            shift_m = -float(np.linalg.norm(shift_m)) * self._stage.data.xaxis[self.drawer]
        self.carry(turn, about_m, shift_m)

    def lay(self, turn: Array, about_m: Array, shift_m: Array) -> None:
        """Turns and shifts it, and lays it on the table; a drawer stays."""
        if self.drawer is not None:
            return
        self.carry(turn, about_m, shift_m)
        self.carry(np.eye(3), about_m, np.array([0.0, 0.0, 0.001 - self._lowest_m()]))

    def _lowest_m(self) -> float:
        """Height of its lowest point, by bounding boxes."""
        model = self._stage.model
        data = mujoco.MjData(model)
        data.qpos[:] = self.qpos
        mujoco.mj_kinematics(model, data)
        solid = [g for g in self._stage.target if model.geom_contype[g] or self._fixed is not None]
        boxes = [extents(model, data, g) for g in solid]
        return min((float(c[2] - np.abs(axes[2]) @ half) for c, half, axes in boxes), default=0.0)

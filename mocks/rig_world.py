"""One simulated world behind the mocks of arm, hand and camera: the simulated rig's own scenes, models and judges.

Time belongs to the arm: each servo command lets one control period pass, as in the simulated rig. While the arm
stands in position mode, instructions on the hand's bus let time pass, so that fingers move when nothing else does.

Simplified, besides what the three mocks simplify themselves: a motor's torque limit is its current limit times a
constant (the default limit is the simulated hand's own); tendons, cables and the drive train of the arm have no play;
the controller feels a collision as a force between table and hand or arm (``STRIKE_LIMIT_N`` at sensitivity 3, as in
the simulated rig), not as a motor current; fingers pressing on an object are never a collision.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env import grasp
from deft_env.episode import EpisodeKey
from deft_env.registries import tasks
from deft_env.sim import names, world
from deft_env.sim.controls import ControlOptions, parked
from deft_env.sim.execute import robot_qpos, sensor_slices
from deft_env.sim.hand_calibration import TENDON_DIP, TENDON_PIP, motor_targets
from deft_env.sim.robot import MOTOR_LIMIT_NM
from deft_env.sim.scenes import SceneModels
from deft_env.tasks.task import PHASE_SIGNAL, Task
from deft_mocks.dynamixel_motor import MotorGoal, MotorReading
from deft_mocks.fiducials import Fiducial, posture, wearing

if TYPE_CHECKING:
    from mujoco.batch import Batch

Array = NDArray[np.float64]

FULL_CURRENT_MA: Final = 350.0
"""Current limit at which a motor pulls as hard as the simulated hand's (assumed: ``MotorConfig``'s default)."""
STRIKE_N: Final = {1: 240.0, 2: 180.0, 3: world.STRIKE_LIMIT_N, 4: 90.0, 5: 60.0}
"""Force that the arm's controller takes for a collision, by sensitivity (assumed)."""
TICK_S: Final = 0.020
_LIMITS: Final = np.array([MOTOR_LIMIT_NM[name.rsplit("_", 1)[1]] for name in grasp.MOTOR_NAMES])


class OneWorld:
    """One world in the shape of a native batch, for ``Task.tick``: what such functions read and write, no more."""

    def __init__(self, data: mujoco.MjData) -> None:
        """The world of ``data``."""
        self._data = data

    @property
    def sensordata(self) -> Array:
        """(1, n) sensor readings."""
        return np.asarray(self._data.sensordata)[None]

    @property
    def eq_active(self) -> NDArray[np.uint8]:
        """(1, n) which constraints are on; assign the whole."""
        return np.asarray(self._data.eq_active)[None]

    @eq_active.setter
    def eq_active(self, value: ArrayLike) -> None:
        self._data.eq_active[:] = np.asarray(value)[0]


class RigWorld:
    """The world; ``arm`` and ``hand`` are its two faces for the mocks, and every method may come from any thread."""

    def __init__(self, task: str = "PickCup", *, fiducial: Fiducial = "", motor_per_joint: ArrayLike = 1.0) -> None:
        """A workplace with the first training scene of ``task`` on the table.

        Args:
            task: whose scene.
            fiducial: what the hand wears and how it is held before the camera; by default nothing, the arm is parked.
            motor_per_joint: radians that a motor turns for one radian of its joint (of the PIP, where it pulls a
                curl), for all or for each of ``grasp.MOTOR_NAMES``.
        """
        self._fiducial = fiducial
        self.motor_per_joint: Array = np.broadcast_to(np.array(motor_per_joint, dtype=np.float64), 12)
        self._lock = threading.RLock()
        self._scenes: dict[str, SceneModels] = {}
        self.servo: Callable[[], bool] = lambda: False
        """Whether the arm is in servo mode: then the hand's bus lets no time pass."""
        self.record: list[Array] = []
        self.triggers: list[tuple[int, Callable[[], None]]] = []
        """(streamed tick since the scene was set, what happens then): called once, in the thread that moves the arm."""
        self._strike_n = 0.0
        self._rest_s = self._since_tick_s = 0.0
        self._streamed = False
        self._goals: dict[str, MotorGoal] = {}
        arm, hand = parked()
        self._load(EpisodeKey(task, "train", "train", 0, 0), posture(fiducial) if fiducial else arm, hand)
        self.arm, self.hand = ArmFace(self), HandFace(self)

    # --- scenes -----------------------------------------------------------------------------------------------------
    def _of(self, name: str) -> SceneModels:
        if name not in self._scenes:
            made: Task = wearing(tasks.load(name)(), self._fiducial)
            self._scenes[name] = SceneModels(made, world.PhysicsOptions(**made.solver))
        return self._scenes[name]

    def reset(self, key: EpisodeKey) -> None:
        """Puts the scene of ``key`` on the table, as a person would; arm and hand stay as they are."""
        with self._lock:
            self._load(key, self._joints(names.ARM_JOINTS), self._joints(names.HAND_JOINTS))

    def _load(self, key: EpisodeKey, arm: Array, hand: Array) -> None:
        owner = self._of(key.task)
        scene = owner.task.draw(key)
        self.key, self.task, self.options = key, owner.task, owner.options
        self.model = owner.model(scene)
        self.data = mujoco.MjData(self.model)
        self.data.qpos[:] = robot_qpos(self.model, owner.qpos(self.model, scene, arm, hand), arm, hand)
        self._slices = sensor_slices(self.model)
        self._arm_ctrl = [self.model.actuator(n).id for n in names.ARM_ACTUATORS]
        self._hand_ctrl = [self.model.actuator(n).id for n in names.HAND_ACTUATORS]
        self._gain = self.model.actuator_gainprm[self._hand_ctrl].copy()
        self._bias = self.model.actuator_biasprm[self._hand_ctrl].copy()
        self.data.ctrl[self._arm_ctrl] = arm
        self.data.ctrl[self._hand_ctrl] = motor_targets(grasp.joints_to_motors(hand))
        mujoco.mj_forward(self.model, self.data)
        self._apply_goals()
        self._tick = owner.task.tick([self.model])
        self.record, self._strike_n, self._rest_s, self._since_tick_s = [], 0.0, 0.0, 0.0
        self._streamed = False

    def _joints(self, joints: tuple[str, ...]) -> Array:
        return np.array([float(self.data.joint(name).qpos[0]) for name in joints])

    # --- physics ----------------------------------------------------------------------------------------------------
    def advance(self, dt_s: float, *, recorded: bool) -> None:
        """Lets ``dt_s`` pass in whole physics steps; what is left over is kept for the next time."""
        with self._lock:
            self._rest_s += dt_s
            step = self.model.opt.timestep
            while self._rest_s >= step - 1e-9:
                self._rest_s -= step
                self._slew_fingers(step)
                mujoco.mj_step(self.model, self.data)
                for name in names.STRIKE_SENSORS:
                    force = self.data.sensordata[self._slices[name]][1:4]
                    self._strike_n = max(self._strike_n, float(np.sqrt(force @ force)))
                # Ticks count from the first streamed set point, as in the simulated rig.
                self._since_tick_s = step + (self._since_tick_s if recorded == self._streamed else 0.0)
                self._streamed = recorded
                if self._since_tick_s >= TICK_S - 1e-9:
                    self._since_tick_s = 0.0
                    if recorded:
                        self.record.append(self.data.sensordata.copy())
                    if self._tick is not None:
                        self._tick(cast("Batch", OneWorld(self.data)), len(self.record))

    def _apply_goals(self) -> None:
        """Motors without torque or current go limp; the others pull up to their current limit."""
        for i, name in enumerate(grasp.MOTOR_NAMES):
            actuator, goal = self._hand_ctrl[i], self._goals.get(name)
            limp = goal is not None and (goal.position_rad is None or goal.current_limit_ma <= 0)
            self.model.actuator_gainprm[actuator] = 0.0 if limp else self._gain[i]
            self.model.actuator_biasprm[actuator] = 0.0 if limp else self._bias[i]
            share = 1.0 if goal is None else min(1.0, goal.current_limit_ma / FULL_CURRENT_MA)
            self.model.actuator_forcerange[actuator] = np.array([-1.0, 1.0]) * share * _LIMITS[i]

    def _slew_fingers(self, dt_s: float) -> None:
        for i, name in enumerate(grasp.MOTOR_NAMES):
            goal = self._goals.get(name)
            if goal is None or goal.position_rad is None:
                continue
            ratio = float(self.motor_per_joint[i])
            target = float(motor_targets(np.full(12, goal.position_rad / ratio))[i])
            here = float(self.data.ctrl[self._hand_ctrl[i]])
            reach = goal.speed_limit_rad_s * dt_s / ratio
            self.data.ctrl[self._hand_ctrl[i]] = here + min(max(target - here, -reach), reach)

    # --- what is seen and judged ------------------------------------------------------------------------------------
    def state(self) -> tuple[mujoco.MjModel, Array]:
        """Model and joint positions now, to be drawn elsewhere."""
        with self._lock:
            return self.model, self.data.qpos.copy()

    def signals(self, phase: ArrayLike) -> dict[str, Array]:
        """Sensor series of the arm's streamed ticks since the scene was set, cut to the length of ``phase`` (T, 1).

        Raises:
            ValueError: if fewer ticks were recorded.
        """
        phase = np.asarray(phase, dtype=np.float64).reshape(-1, 1)
        with self._lock:
            if len(self.record) < len(phase) or not len(phase):
                raise ValueError(f"phase: {len(phase)} ticks, but {len(self.record)} were recorded")
            series = np.stack(self.record[: len(phase)])
            return {name: series[:, s].copy() for name, s in self._slices.items()} | {PHASE_SIGNAL: phase}

    def verdict(self, phase: ArrayLike | None) -> dict[str, Any]:
        """What the task's judge says of the recorded sensors: success, score, sub-goals.

        Args:
            phase: (T, 1) of the ticks that were streamed; None (it is not stored with an episode, so nobody knows after
                an interruption) takes the plan's own shares of all that was recorded.
        """
        if phase is None:
            phase = np.zeros(len(self.record))
            for i, (start, end) in enumerate(ControlOptions().phases.values()):
                a, b = (round(t * len(phase) / ControlOptions().ticks) for t in (start, end))
                phase[a:b] = i
        signals = self.signals(phase)
        return {
            "success": bool(self.task.success(signals)),
            "score": float(self.task.score(signals)),
            "subgoals": {name: bool(done) for name, done in self.task.subgoals(signals).items()},
        }


class ArmFace:
    """The world as the control box sees it (``deft_mocks.xarm.ArmWorld``)."""

    def __init__(self, owner: RigWorld) -> None:
        """A face of ``owner``."""
        self._w = owner

    def get_joints(self) -> Array:
        """See ``ArmWorld``."""
        with self._w._lock:
            return self._w._joints(names.ARM_JOINTS)

    def set_joint_targets(self, q_rad: Array) -> None:
        """See ``ArmWorld``."""
        with self._w._lock:
            self._w.data.ctrl[self._w._arm_ctrl] = q_rad

    def step(self, dt_s: float) -> None:
        """See ``ArmWorld``."""
        self._w.advance(dt_s, recorded=self._w.servo())
        # Outside the world's lock: what happens may want a lock that waits for the world's.
        due = [action for tick, action in self._w.triggers if tick <= len(self._w.record)]
        if due:
            self._w.triggers = [t for t in self._w.triggers if t[0] > len(self._w.record)]
            for action in due:
                action()

    def collision(self, sensitivity: int) -> str | None:
        """See ``ArmWorld``; the greatest force since the last call counts."""
        with self._w._lock:
            force, self._w._strike_n = self._w._strike_n, 0.0
        limit = STRIKE_N.get(sensitivity, np.inf)
        return f"the table was struck with {force:.0f} N" if force > limit else None


class HandFace:
    """The world as the hand's bus sees it (``deft_mocks.dynamixel_motor.MotorWorld``)."""

    def __init__(self, owner: RigWorld, first_id: int = 1) -> None:
        """A face of ``owner``; motor ``first_id + i`` is ``grasp.MOTOR_NAMES[i]``."""
        self._w, self._first = owner, first_id

    def step(self, goals: Mapping[int, MotorGoal], dt_s: float) -> dict[int, MotorReading]:
        """See ``MotorWorld``."""
        w = self._w
        with w._lock:
            new = {grasp.MOTOR_NAMES[i - self._first]: goal for i, goal in goals.items()}
            # A dead motor keeps its last goal: its gears hold.
            if any(w._goals.get(name) != goal for name, goal in new.items()):
                w._goals.update(new)
                w._apply_goals()
            if dt_s > 0 and not w.servo():
                w.advance(dt_s, recorded=False)
            return {i: self._reading(i - self._first) for i in goals}

    def _reading(self, index: int) -> MotorReading:
        w = self._w
        finger, kind = grasp.MOTOR_NAMES[index].rsplit("_", 1)

        def of(joint: str) -> tuple[float, float]:
            found = w.data.joint(f"{names.HAND_PREFIX}{finger}_{joint}")
            return float(found.qpos[0]), float(found.qvel[0])

        if kind == "curl":
            (pip, pip_v), (dip, dip_v) = of("pip"), of("dip")
            angle, speed = TENDON_PIP * pip + TENDON_DIP * dip, TENDON_PIP * pip_v + TENDON_DIP * dip_v
        else:
            angle, speed = of(kind)
        force = float(w.data.actuator_force[w._hand_ctrl[index]])
        ratio = float(w.motor_per_joint[index])
        return MotorReading(ratio * angle, ratio * speed, force / _LIMITS[index] * FULL_CURRENT_MA)

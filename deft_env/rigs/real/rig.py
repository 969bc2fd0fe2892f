"""The real rig: xArm6, soft hand, RealSense and a person, behind the same contract as the simulated rig.

An episode: the arm parks, the operator prepares the scene, the camera looks; then the plan of the simulated rig is
checked, and played: above the pre-grasp, approach, close, hold, the 40 displacements, settle. Before the next scene the
arm goes back along the same way, so that what it holds is put down where it was taken.

What ends an episode early (see ``Status``): a collision or a limit that the grasp led to is ``failed``; a device's
fault, a stop, nobody there is ``faulted``; the operator's word is ``voided``. After a failure or a fault the arm stands
still and the hand is limp, and nothing moves again until the operator has said that the trouble is mended.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env import grasp, registries
from deft_env.demonstration import Demonstration
from deft_env.episode import EpisodeKey, Frame, Outcome, Status
from deft_env.rigs.operator import (
    Operator,
    OperatorGoneError,
    SceneRequest,
    current_operator,
    make_operator,
    use_operator,
)
from deft_env.rigs.real import rig_motion
from deft_env.rigs.real.arm.errors import ArmCollision, ArmError
from deft_env.rigs.real.camera_source import FramesetSource
from deft_env.rigs.real.rig_config import RealRigConfig, settings
from deft_env.rigs.real.rig_devices import DEVICE_ERRORS, Devices, word
from deft_env.rigs.real.rig_motion import Stream
from deft_env.rigs.real.rig_player import Player
from deft_env.rigs.rig import Frames, Rig, SceneLostError, SceneTruth
from deft_env.rigs.safety import SafetyError
from deft_env.sim import controls

Array = NDArray[np.float64]
PHASE_SIGNAL: Final = "phase"


class RealRig(Rig):
    """One arm, one hand, one camera, one person; a batch of one."""

    name = "real"
    real = True
    max_batch = 1
    Config = RealRigConfig

    def __init__(
        self, config: RealRigConfig, *, operator: Operator | None = None, source: FramesetSource | None = None
    ) -> None:
        """Reads and checks the configuration; nothing is connected before ``open`` or the first reset.

        Args:
            config: see ``RealRigConfig``.
            operator: instead of the configured one.
            source: instead of the configured source of framesets.

        Raises:
            ValueError: for a configuration that cannot be; the message names section and key.
        """
        self.settings = settings(config)
        self.stand_in = self.settings.stand_in
        self._devices = Devices(self.settings, source)
        self._own_operator = operator is None
        self.operator = operator or make_operator(*self.settings.operator)
        use_operator(self.operator)
        self._player = Player(self._devices, self.operator)
        self._remove_stop = self.operator.on_stop(lambda _: self._devices.make_safe())
        self._trouble = ""
        self._enabled = False
        self._key: EpisodeKey | None = None
        self._first: Frame | None = None
        self._tasks: dict[str, Any] = {}

    # --- life ---------------------------------------------------------------------------------------------------------
    def ask(self, operator: Operator) -> None:
        """Asks ``operator`` from now on; the caller closes it."""
        self._remove_stop()
        self._own_operator, self.operator, self._player.operator = False, operator, operator
        use_operator(operator)
        self._remove_stop = operator.on_stop(lambda _: self._devices.make_safe())

    def open(self) -> None:
        """Connects the devices; nothing moves.

        Raises:
            DevicesError: naming the device.
            ImportError: without an SDK, naming the extra.
        """
        self._devices.open()

    def close(self) -> None:
        """Stops the arm, relaxes the hand, ends the stream; may be called twice."""
        self._key = self._first = None
        self._enabled = False
        self._remove_stop()
        try:
            self._devices.close()
        finally:
            if self._own_operator:
                self.operator.close()
            if current_operator() is self.operator:
                use_operator(None)

    def _task(self, name: str) -> Any:
        if name not in self._tasks:
            self._tasks[name] = registries.tasks.load(name)()
        return self._tasks[name]

    # --- a scene ------------------------------------------------------------------------------------------------------
    def reset_batch(self, keys: Sequence[EpisodeKey]) -> Frames:
        """Parks the arm, has the operator prepare the scene of the one key, and takes the first picture.

        Raises:
            ValueError: for more than one key.
            SceneLostError: if the operator voids the scene or is gone, or devices stay broken.
            DevicesError: if a device cannot be opened at all.
        """
        if len(keys) != 1:
            raise ValueError(f"keys: a real rig has a batch of one, got {len(keys)}")
        key = keys[0]
        self._key = self._first = None
        self.open()
        for _ in range(self.settings.motion.attempts):
            try:
                self._get_ready(key)
                answer = self.operator.prepare(self._request(key))
                if not answer.ready:
                    raise SceneLostError(Status.VOIDED, answer.reason or "the operator gave no reason")
                frame = self._devices.capture()
            except OperatorGoneError as error:
                raise SceneLostError(Status.FAULTED, f"operator gone: {error}") from error
            except (*DEVICE_ERRORS, SafetyError) as error:
                self._in_trouble(word(error))
            except BaseException:
                self._devices.make_safe()
                raise
            else:
                self._key, self._first = key, frame
                return Frames(keys, functools.partial(_same, frame), _truths(answer.truth))
        raise SceneLostError(Status.FAULTED, self._trouble)

    def _request(self, key: EpisodeKey, trouble: str = "") -> SceneRequest:
        task = self._task(key.task)
        objects = task.objects(key.split) if hasattr(task, "objects") else ()
        return SceneRequest(key, task.instruction, tuple(spec.name for spec in objects), trouble)

    def _in_trouble(self, what: str) -> None:
        self._devices.make_safe()
        self._trouble = what

    def _get_ready(self, key: EpisodeKey) -> None:
        """Mends what the operator says may be mended, and parks."""
        if self.operator.stopped and not self._trouble:
            self._in_trouble(self.operator.stop_reason or "stopped")
        if self._trouble:
            self._player.came_by = None  # whatever was held may have fallen: the way back is no longer known to be free
            answer = self.operator.prepare(self._request(key, self._trouble))
            if not answer.ready:
                raise SceneLostError(Status.VOIDED, answer.reason or self._trouble)
            self._devices.mend()
            self._trouble, self._enabled = "", True
        elif not self._enabled:
            self._devices.enable()
            self._enabled = True
        with self.operator.watching():
            self._player.park()

    # --- an episode ---------------------------------------------------------------------------------------------------
    def execute_batch(self, grasps: ArrayLike, demonstrations: Sequence[Demonstration]) -> list[Outcome]:
        """Plays the one grasp; see ``Rig.execute_batch`` and the module."""
        wished = np.atleast_2d(grasp.check(grasps, "grasps"))
        if self._key is None or self._first is None:
            raise ValueError("execute_batch: call reset_batch first; a scene is executed once")
        if len(wished) != 1 or len(demonstrations) != 1:
            raise ValueError(f"grasps, demonstrations: expected 1, got {len(wished)} and {len(demonstrations)}")
        key, first = self._key, self._first
        self._key = self._first = None
        task = self._task(key.task)
        plan = controls.plan(wished, task.nominal_rotation, list(demonstrations), self.settings.timing)
        if not plan.ok[0]:
            return [_failed(key, plan.executed[0], plan.reason[0], first)]
        stream, violations = rig_motion.prepare(plan, self.settings.timing, self.settings.motion, self.settings.safety)
        if violations:
            more = f" and {len(violations) - 1} more" if len(violations) > 1 else ""
            return [_failed(key, stream.executed, f"unsafe: {violations[0]}{more}", first)]
        outcome = self._play(key, task, stream, first)
        asked = {"never": False, "evaluation": key.role != "train", "always": True}[self.settings.judge]
        if asked and outcome.status is Status.COMPLETED:
            outcome = self._judged(first, outcome)
        return [outcome]

    def _play(self, key: EpisodeKey, task: Any, stream: Stream, first: Frame) -> Outcome:
        executed = stream.executed.copy()
        try:
            with self.operator.watching():
                motors = self._player.play(stream, np.asarray(task.nominal_rotation), executed)
            last = self._devices.capture()
        except ArmError as error:
            self._in_trouble(word(error))
            if self.operator.stopped:
                # Whichever command noticed it first, the person's reason is the one that counts.
                return Outcome(key, executed, Status.FAULTED, f"stopped: {self.operator.stop_reason}")
            if error.action_caused:
                collided = isinstance(error, ArmCollision)
                # The driver's words for a collision begin with the operation; the status's word comes first here.
                reason = f"collision: {error}" if collided else f"limit: {error}"
                return _failed(key, executed, reason, None)
            return Outcome(key, executed, Status.FAULTED, word(error))
        except (*DEVICE_ERRORS, SafetyError) as error:
            self._in_trouble(word(error))
            stopped = f"stopped: {self.operator.stop_reason}; " if self.operator.stopped else ""
            return Outcome(key, executed, Status.FAULTED, stopped + word(error))
        except BaseException:
            self._devices.make_safe()
            raise
        self._player.came_by = stream
        signals = {
            PHASE_SIGNAL: stream.phase_series,
            "arm/commanded": stream.arm_rad,
            "hand/commanded": stream.fingers_rad,
            "hand/motors": motors,
        }
        return Outcome(key, executed, Status.COMPLETED, signals=signals, last_frame=lambda: last)

    def _judged(self, first: Frame, outcome: Outcome) -> Outcome:
        """The outcome with the operator's word on it."""
        try:
            verdict = self.operator.judge(first, outcome)
        except OperatorGoneError as error:
            return dataclasses.replace(outcome, status=Status.FAULTED, reason=f"operator gone: {error}")
        if verdict.void:
            return dataclasses.replace(outcome, status=Status.VOIDED, reason=verdict.void)
        return dataclasses.replace(outcome, success=verdict.success, score=verdict.score)


def _failed(key: EpisodeKey, executed: Array, reason: str, frame: Frame | None) -> Outcome:
    """An episode that its own action ended; ``frame`` is the last picture where nothing moved."""
    last = None if frame is None else lambda: frame
    return Outcome(
        key, executed, Status.FAILED, reason, success=False, score=0.0,
        subgoals={"the arm played the grasp": False}, last_frame=last,
    )  # fmt: skip


def _same(frame: Frame, _: int) -> Frame:
    return frame


def _truths(truth: SceneTruth | None) -> list[SceneTruth] | None:
    return None if truth is None else [truth]

"""The three devices of the real rig as one: opened together, made safe together, mended one by one, closed always."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deft_env.episode import Frame
from deft_env.rigs.real.arm import POSITION, SERVO, Arm
from deft_env.rigs.real.arm.errors import ArmError
from deft_env.rigs.real.camera import RealSenseCamera
from deft_env.rigs.real.camera_source import CameraError, FramesetSource
from deft_env.rigs.real.hand import DynamixelHand, JointHand
from deft_env.rigs.real.hand.errors import HandError
from deft_env.rigs.real.rig_config import RigSettings, frame_sources

Array = NDArray[np.float64]
DEVICE_ERRORS: Final = (ArmError, HandError, CameraError, OSError)
"""What devices raise; ``word`` says whose it is."""
_CAPTURES: Final = 2


class DevicesError(RuntimeError):
    """A device could not be opened at the start; the message says which and what to do."""


def word(error: BaseException) -> str:
    """An error with its device's name in front."""
    for kind, name in ((ArmError, "arm"), (HandError, "hand"), (CameraError, "camera")):
        if isinstance(error, kind):
            return f"{name}: {error}"
    return f"device: {error}"


class Devices:
    """Arm, hand and camera. ``open`` connects without moving; ``close`` leaves everything safe, whatever happened."""

    def __init__(self, settings: RigSettings, source: FramesetSource | None = None) -> None:
        """Connects nothing yet; ``source`` replaces the configured source of framesets."""
        self.settings = settings
        pace: Callable[[float], None] = time.sleep if settings.motion.paced else lambda _: None
        self.arm = Arm(settings.arm, sleep=pace)
        self.hand = DynamixelHand(settings.hand, sleep=pace)
        self.joints = JointHand(self.hand, settings.motor_map)
        self._order = [settings.motor_map.motor_names.index(name) for name in self.hand.names]
        if source is None:
            name, options = settings.source
            source = frame_sources.load(name)(**options)
        self._source = source
        self.camera = RealSenseCamera(settings.camera, settings.T_base_cam, source)
        self.is_open = False

    # --- opening and closing ----------------------------------------------------------------------------------------
    def open(self) -> None:
        """Connects all three; nothing moves and no motor is switched on.

        Raises:
            DevicesError: naming the device.
            ImportError: without an SDK, naming the extra.
        """
        if self.is_open:
            return
        try:
            # The arm's SDK greets on standard output, where a program may expect JSON.
            with contextlib.redirect_stdout(sys.stderr):
                self.camera.start()
                self.hand.open()
                self.arm.connect()
        except DEVICE_ERRORS as error:
            self.close()
            raise DevicesError(word(error)) from error
        except BaseException:
            self.close()
            raise
        self.is_open = True

    def close(self) -> None:
        """Stops the arm, relaxes the hand, ends the stream; all of it, even if one of them fails.

        Raises:
            ArmError: if the arm does not confirm that it stopped.
        """
        self.is_open = False
        try:
            self.arm.close()
        finally:
            try:
                self.hand.close()
            finally:
                with contextlib.suppress(CameraError, RuntimeError):
                    self.camera.close()

    # --- safety -----------------------------------------------------------------------------------------------------
    def halt(self) -> None:
        """Stops the arm; from any thread, never raises."""
        with contextlib.suppress(Exception):
            self.arm.emergency_stop()

    def make_safe(self) -> None:
        """Arm stopped, hand relaxed; never raises."""
        self.halt()
        with contextlib.suppress(Exception):
            self.hand.relax()

    def mend(self) -> None:
        """Brings everything back after trouble; called when a person has said that it may.

        Raises:
            ArmError, HandError, CameraError: what is still wrong.
        """
        try:
            self.arm.recover(POSITION)
        except ArmError:
            with contextlib.suppress(ArmError):
                self.arm.close()
            self.arm.connect()
            self.arm.recover(POSITION)
        try:
            self.hand.recover()
        except (HandError, OSError):
            self.hand.close()
            self.hand.open()
        self.hand.enable()
        try:
            self.camera.capture()
        except CameraError:
            self._restart_camera()

    def _restart_camera(self) -> None:
        self.camera.close()
        # A new object: a stream that starts again counts its frames from the beginning.
        self.camera = RealSenseCamera(self.settings.camera, self.settings.T_base_cam, self._source)
        self.camera.start()

    # --- doing --------------------------------------------------------------------------------------------------------
    def enable(self) -> None:
        """Motors on, in place."""
        self.arm.enable(POSITION)
        self.hand.enable()

    def capture(self) -> Frame:
        """A fresh picture; a camera that hangs is restarted once."""
        for _ in range(_CAPTURES - 1):
            with contextlib.suppress(CameraError):
                return self.camera.capture()
            self._restart_camera()
        return self.camera.capture()

    def servo(self, path_rad: Array, period_s: float, on_step: Callable[[int], None]) -> None:
        """Streams (T, 6) joint set points."""
        self.arm.enable(SERVO)
        self.arm.servo_joints(path_rad, period_s, on_step=on_step)

    def go(self, joints_rad: Array) -> None:
        """Turns the joints to (6,) in free air."""
        self.arm.enable(POSITION)
        self.arm.move_joints(joints_rad)

    def motors(self, fingers_rad: Array) -> Array:
        """Finger joints (..., 16) -> motor angles (..., 12) in the hand's order, through the motor map."""
        return self.settings.motor_map.invert(fingers_rad)[..., self._order]

    def fingers(self, motors_rad: Array) -> Array:
        """The finger joints (16,) that motor angles (12,), in the hand's order, come to after ranges and ticks."""
        by_map = np.empty(12)
        by_map[self._order] = self.hand.limit(motors_rad)
        return self.settings.motor_map.predict(by_map)

"""Where framesets come from: the vendor's pipeline (hardware, recordings) or a software device behind a syncer.

Everything after the frameset is shared and lives in ``camera``.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol


class CameraError(RuntimeError):
    """Something is wrong with the camera; the message says what and what to do."""


class CameraMissing(CameraError):
    """No such camera, or it cannot stream what is asked of it."""


class CameraTimeout(CameraError):
    """No complete pair of pictures arrived in time: unplugged, or a recording that ended."""


class CameraFrozen(CameraError):
    """Pictures arrive, but they are the same picture again."""


class CameraStale(CameraError):
    """Pictures arrive, but they are old, or depth and colour were not taken together, or too many were lost."""


class CameraBlind(CameraError):
    """Too little of the picture has depth."""


def load_sdk() -> ModuleType:
    """Imports ``pyrealsense2``, with the bundled libusb where the system has none.

    Raises:
        ImportError: naming the extra that installs it.
    """
    try:
        try:
            import pyrealsense2 as rs
        except ImportError as error:
            if "libusb" not in str(error):
                raise
            import libusb_package

            # Its SONAME is the one that the extension asks for: once loaded, the second import finds it.
            ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
            import pyrealsense2 as rs
    except ImportError as error:
        raise ImportError(
            f"the camera needs the extra 'hardware': pip install 'deft-hand[hardware]' (pyrealsense2: {error})"
        ) from error
    return rs  # type: ignore[no-any-return, unused-ignore]


@dataclass(frozen=True, slots=True)
class Stream:
    """What a source started: the device's name and serial number, and metres per depth unit."""

    name: str
    serial: str
    depth_scale_m: float


class FramesetSource(Protocol):
    """A source of framesets of depth and colour."""

    def start(self) -> Stream:
        """Begins to stream."""

    def wait(self, timeout_s: float) -> Any:
        """The next frameset, or None where none came in time."""

    def drain(self) -> int:
        """Throws away what waits in queues, so that the next frameset is a new one; returns how many went."""

    def stop(self) -> None:
        """Ends the stream; may be called twice."""


def _describe(rs: Any, device: Any) -> tuple[str, str]:
    def info(what: Any) -> str:
        return str(device.get_info(what)) if device.supports(what) else "unknown"

    return info(rs.camera_info.name), info(rs.camera_info.serial_number)


class PipelineSource:
    """The vendor's pipeline: a camera on USB, or a recording of one."""

    def __init__(
        self,
        *,
        width: int = 640,
        height: int = 480,
        fps: int = 30,
        serial: str = "",
        recording: str | os.PathLike[str] | None = None,
    ) -> None:
        """Prepares a pipeline.

        Args:
            width: of both streams, px.
            height: of both streams, px.
            fps: of both streams.
            serial: picks one of several cameras; empty takes the first.
            recording: plays this file (``.db3`` or ``.bag``) instead of a camera, as fast as it is read.
        """
        self._size, self._fps, self._serial = (width, height), fps, serial
        self._recording = None if recording is None else Path(recording)
        self._pipeline: Any = None

    def start(self) -> Stream:
        """Begins to stream.

        Raises:
            CameraMissing: without a camera that can do it, or without the recording.
        """
        rs = load_sdk()
        config = rs.config()
        if self._recording is not None:
            if not self._recording.is_file():
                raise CameraMissing(f"recording: no file at {self._recording}")
            config.enable_device_from_file(str(self._recording), repeat_playback=False)
        else:
            # Asked first: starting a pipeline without a camera blocks for 15 s.
            serials = [_describe(rs, device)[1] for device in rs.context().query_devices()]
            if not serials or (self._serial and self._serial not in serials):
                which = f"the camera {self._serial!r}" if self._serial else "any RealSense camera"
                others = f" ({', '.join(serials)} is there)" if serials else ""
                raise CameraMissing(f"cannot find {which} on USB{others}; check cable, port and udev rules")
            if self._serial:
                config.enable_device(self._serial)
            config.enable_stream(rs.stream.depth, *self._size, rs.format.z16, self._fps)
            config.enable_stream(rs.stream.color, *self._size, rs.format.rgb8, self._fps)
        pipeline = rs.pipeline()
        try:
            if self._recording is not None:
                # Before the first picture is read: a playback in real time drops what nobody has asked for yet.
                config.resolve(rs.pipeline_wrapper(pipeline)).get_device().as_playback().set_real_time(False)
            profile = pipeline.start(config)
        except RuntimeError as error:
            where = str(self._recording or f"the camera {self._serial!r}")
            raise CameraMissing(
                f"cannot stream depth and colour {self._size[0]}x{self._size[1]} at {self._fps} fps from {where}: "
                f"{error}; check the USB 3 cable and that no other program uses it"
            ) from error
        device = profile.get_device()
        self._pipeline = pipeline
        return Stream(*_describe(rs, device), float(device.first_depth_sensor().get_depth_scale()))

    def wait(self, timeout_s: float) -> Any:
        """See ``FramesetSource``."""
        if self._pipeline is None:
            raise CameraError("the camera is not started; use it as a context manager or call start()")
        found, frames = self._pipeline.try_wait_for_frames(max(1, int(timeout_s * 1000)))
        return frames if found else None

    def drain(self) -> int:
        """See ``FramesetSource``; a recording is played to its last frame, hence never drained."""
        count = 0
        while self._recording is None and self._pipeline is not None and self._pipeline.poll_for_frames():
            count += 1
        return count

    def stop(self) -> None:
        """See ``FramesetSource``."""
        if self._pipeline is not None:
            pipeline, self._pipeline = self._pipeline, None
            pipeline.stop()


class SyncerSource:
    """The vendor's software device behind its syncer: for devices whose frames this process makes itself."""

    def __init__(self, device: Any, *, pump: Callable[[], None] | None = None, waits: int = 4) -> None:
        """Wraps a ``pyrealsense2.software_device`` with a depth and a colour sensor.

        Args:
            device: the device; its sensors have one video profile each.
            pump: called before each wait where the device makes no frames on its own.
            waits: pumps per wait; a syncer may hold back its first pair.
        """
        self._device, self._pump, self._waits = device, pump, waits
        self._sensors: list[Any] = []
        self._syncer: Any = None

    def start(self) -> Stream:
        """Begins to stream.

        Raises:
            CameraMissing: if the device has no depth sensor.
        """
        rs = load_sdk()
        self._device.create_matcher(rs.matchers.dlr_c)
        self._syncer = rs.syncer()
        scale = None
        for sensor in self._device.query_sensors():
            sensor.open(sensor.get_stream_profiles())
            sensor.start(self._syncer)
            self._sensors.append(sensor)
            if sensor.supports(rs.option.depth_units):
                scale = float(sensor.get_option(rs.option.depth_units))
        if scale is None:
            self.stop()
            raise CameraMissing("device: none of its sensors has depth units")
        return Stream(*_describe(rs, self._device), scale)

    def wait(self, timeout_s: float) -> Any:
        """See ``FramesetSource``."""
        if self._syncer is None:
            raise CameraError("the camera is not started; use it as a context manager or call start()")
        if self._pump is None:
            found, frames = self._syncer.try_wait_for_frames(max(1, int(timeout_s * 1000)))
            return frames if found else None
        for _ in range(self._waits):
            self._pump()
            frames = self._syncer.poll_for_frames()
            if frames and frames.size():
                return frames
        return None

    def drain(self) -> int:
        """See ``FramesetSource``."""
        count = 0
        while self._syncer is not None:
            frames = self._syncer.poll_for_frames()
            if not frames or not frames.size():
                break
            count += 1
        return count

    def stop(self) -> None:
        """See ``FramesetSource``."""
        sensors, self._sensors, self._syncer = self._sensors, [], None
        for sensor in sensors:
            sensor.stop()
            sensor.close()

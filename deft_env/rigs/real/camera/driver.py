"""The RGBD camera through the vendor's ``pyrealsense2``: one fresh, aligned, checked picture at a time.

``capture`` hands out a ``Frame``: colour as seen, depth aligned to colour in metres with 0 where there is none,
intrinsics as the device reports them, counted from the picture's edge. A picture that is old, the same again, half
missing or blind is refused with a typed error instead of being handed to a prior.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from deft_env.episode import FRAME_SHAPE, Frame
from deft_env.rigs.real.camera.checks import FrameChecks, Taken
from deft_env.rigs.real.camera.config import CameraConfig
from deft_env.rigs.real.camera.frame import FrameMaker
from deft_env.rigs.real.camera_source import (
    CameraError,
    CameraStale,
    CameraTimeout,
    FramesetSource,
    PipelineSource,
    Stream,
    load_sdk,
)


class RealSenseCamera:
    """The camera; use it as a context manager."""

    def __init__(
        self,
        config: CameraConfig,
        T_base_cam: ArrayLike,
        source: FramesetSource | None = None,
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepares the camera; nothing is opened yet.

        Args:
            config: see ``CameraConfig``.
            T_base_cam: (4, 4) of a ``CameraCalibration``, camera to robot base.
            source: where framesets come from; by default the pipeline of a camera on USB.
            wall_clock: seconds since the epoch, against which host time stamps are held.
        """
        pose = np.array(T_base_cam, dtype=np.float64)
        if pose.shape != (4, 4) or not np.isfinite(pose).all():
            raise ValueError(f"T_base_cam: expected a finite (4, 4), got shape {pose.shape}")
        rotation = pose[:3, :3]
        if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-6 or np.linalg.det(rotation) < 0:
            raise ValueError("T_base_cam: its upper left 3 x 3 must be a rotation")
        self.config, self.T_base_cam = config, pose
        self._source = source or PipelineSource(
            width=FRAME_SHAPE[1], height=FRAME_SHAPE[0], fps=config.fps, serial=config.serial
        )
        self._wall_clock = wall_clock
        self._stream: Stream | None = None
        self._checks: FrameChecks | None = None
        self._frame: FrameMaker | None = None

    # --- life ---------------------------------------------------------------------------------------------------------
    def start(self) -> Self:
        """Starts the stream and lets exposure settle.

        Raises:
            ImportError: without the SDK, naming the extra.
            CameraError: one of its kinds.
        """
        rs = load_sdk()
        self._stream = self._source.start()
        # A stream counts its frames from the start: what the last one showed says nothing about this one.
        self._checks = FrameChecks(rs, self._stream.name, self.config, self._wall_clock)
        self._frame = FrameMaker(rs, self._stream, self.config, self.T_base_cam)
        try:
            for _ in range(self.config.warmup):
                if self._source.wait(self.config.timeout_s) is None:
                    raise CameraTimeout(
                        f"{self.stream.name}: no pictures within {self.config.timeout_s} s of the start"
                    )
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Ends the stream; may be called twice."""
        self._source.stop()
        self._stream = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def stream(self) -> Stream:
        """Name, serial number and depth scale of the device.

        Raises:
            CameraError: before ``start``.
        """
        if self._stream is None:
            raise CameraError("the camera is not started; use it as a context manager or call start()")
        return self._stream

    @property
    def last(self) -> Taken | None:
        """Numbers and times of the last capture; None before it."""
        return self._checks.last if self._checks is not None else None

    # --- pictures -----------------------------------------------------------------------------------------------------
    def capture(self) -> Frame:
        """Takes a picture that is newer than this call.

        Raises:
            CameraTimeout: if nothing arrives: unplugged, or a recording that ended.
            CameraStale: if only old, unpaired or badly torn pictures arrive.
            CameraFrozen: if the same picture arrives again and again.
            CameraBlind: if too few pixels have depth.
            CameraMissing: if the device's pictures have another size or a distorting lens.
        """
        name, checks, make = self.stream.name, self._checks, self._frame
        assert checks is not None  # as the stream is there
        assert make is not None
        self._source.drain()
        refused: CameraError | None = None
        previous: int | None = None
        for _ in range(self.config.attempts):
            frames = self._source.wait(self.config.timeout_s)
            if frames is None:
                break
            depth, color = frames.get_depth_frame(), frames.get_color_frame()
            if not depth or not color:
                lacking = "colour" if depth else "depth"
                # A half pair says least: it must not hide what was wrong with a whole one.
                refused = (
                    refused
                    or checks.repeats(depth or color)
                    or CameraStale(f"{name}: framesets come without {lacking}; restart the camera")
                )
                continue
            taken = Taken(
                int(depth.get_frame_number()),
                int(color.get_frame_number()),
                float(depth.get_timestamp()),
                float(color.get_timestamp()),
            )
            refused = checks.refuse(taken, previous, color) or checks.same_pixels(depth, color)
            previous = taken.color_number
            if refused is None:
                checks.last = taken
                return make(frames)
        if refused is not None:
            raise refused
        raise CameraTimeout(
            f"{name}: no picture within {self.config.timeout_s} s; is the camera unplugged, or has the recording ended?"
        )

"""A RealSense camera of the vendor's own making: librealsense's software device, fed by a ``render`` callable.

Live: ``MockRealSense(render).source()`` goes into ``RealSenseCamera``; every picture that the driver waits for is
rendered then, so the scene may react to the robot. For the pipeline: ``record`` writes a ``.db3`` file, which the
vendor's real pipeline plays. Faults are seeded and may be changed at any time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env.episode import FRAME_SHAPE, generator
from deft_env.rigs.real.camera_source import SyncerSource, load_sdk

Render = Callable[[], tuple[NDArray[np.uint8], NDArray[np.floating[Any]]]]
"""() -> rgb (480, 640, 3) uint8, depth (480, 640) in metres, 0 for holes, as seen by the depth sensor."""

DEPTH_SCALE_M: Final = 0.001
D435_FOCAL_PX: Final = 615.0
"""Nominal focal length of a D435's colour stream at 640 x 480; single cameras differ by 1 to 2 %."""
STEREO_NOISE: Final = 0.1 / (D435_FOCAL_PX * 0.05)
"""sigma_z = this * z^2, in 1/m: a tenth of a pixel of disparity on a baseline of 50 mm (assumed)."""


@dataclass(slots=True)
class CameraFaults:
    """What goes wrong.

    Attributes:
        holes: share of depth pixels that are 0, drawn anew for each picture.
        frozen: pictures repeat the last number, time stamp and pixels.
        stuck_pixels: numbers and time stamps run on, pixels do not.
        drop: this many pictures from now are never sent, though their numbers are used up.
        no_depth: only colour is sent.
        skew_ms: depth lags colour by this much.
        unplugged: nothing is sent any more.
    """

    holes: float = 0.0
    frozen: bool = False
    stuck_pixels: bool = False
    drop: int = 0
    no_depth: bool = False
    skew_ms: float = 0.0
    unplugged: bool = False


def nominal_K() -> NDArray[np.float64]:
    """(3, 3) intrinsics of a nominal D435 colour stream at 640 x 480, px, counted from the picture's edge."""
    h, w = FRAME_SHAPE
    return np.array([[D435_FOCAL_PX, 0.0, w / 2], [0.0, D435_FOCAL_PX, h / 2], [0.0, 0.0, 1.0]])


class MockRealSense:
    """A software device with a depth and a colour sensor.

    Attributes:
        faults: see ``CameraFaults``.
        device: the ``pyrealsense2.software_device``.
    """

    def __init__(
        self,
        render: Render,
        *,
        K: ArrayLike | None = None,
        K_depth: ArrayLike | None = None,
        depth_to_color_m: ArrayLike = (0.0, 0.0, 0.0),
        fps: int = 30,
        noise: bool = True,
        seed: int = 0,
        serial: str = "000000000001",
    ) -> None:
        """Makes the device; needs the extra ``hardware``.

        Args:
            render: what the camera sees now.
            K: (3, 3) of the colour sensor; ``nominal_K()`` by default.
            K_depth: (3, 3) of the depth sensor; that of colour by default.
            depth_to_color_m: (3,) translation of points from the depth to the colour sensor; a real D435 has 15 mm,
                the default of 0 is for renderers that have one camera.
            fps: pictures per second of the device's clock, which is not the host's.
            noise: quadratic noise on depth and half a grey level on colour, as real sensors have.
            seed: of noise and holes.
            serial: the device's serial number.
        """
        rs = load_sdk()
        self._rs, self._render, self._noise, self._fps = rs, render, noise, fps
        self._random = generator("mock", "realsense", seed)
        self.faults = CameraFaults()
        self._number = 0
        self._sent: tuple[NDArray[np.uint8], NDArray[np.uint16], int, float] | None = None
        color_K = np.asarray(nominal_K() if K is None else K, dtype=np.float64)
        depth_K = color_K if K_depth is None else np.asarray(K_depth, dtype=np.float64)
        self.device = rs.software_device()
        self.device.register_info(rs.camera_info.name, "Intel RealSense D435 (software device)")
        self.device.register_info(rs.camera_info.serial_number, serial)
        self._depth = self.device.add_sensor("Stereo Module")
        self._color = self.device.add_sensor("RGB Camera")
        self._depth.add_read_only_option(rs.option.depth_units, DEPTH_SCALE_M)
        self._depth_profile = self._depth.add_video_stream(self._video(rs.stream.depth, 1, rs.format.z16, 2, depth_K))
        # BGR, as viewers expect of a recording: playback does not convert.
        self._color_profile = self._color.add_video_stream(self._video(rs.stream.color, 2, rs.format.bgr8, 3, color_K))
        extrinsics = rs.extrinsics()
        extrinsics.rotation = np.eye(3).ravel().tolist()
        extrinsics.translation = np.asarray(depth_to_color_m, dtype=np.float64).tolist()
        self._depth_profile.register_extrinsics_to(self._color_profile, extrinsics)

    def _video(self, kind: Any, uid: int, form: Any, size: int, K: NDArray[np.float64]) -> Any:
        rs = self._rs
        stream, lens = rs.video_stream(), rs.intrinsics()
        height, width = FRAME_SHAPE
        lens.width, lens.height, lens.model, lens.coeffs = width, height, rs.distortion.none, [0.0] * 5
        # K counts from the picture's edge, as Frame does; the SDK from the centre of the first pixel.
        lens.fx, lens.fy, lens.ppx, lens.ppy = K[0, 0], K[1, 1], K[0, 2] - 0.5, K[1, 2] - 0.5
        stream.type, stream.index, stream.uid, stream.fmt, stream.bpp = kind, 0, uid, form, size
        stream.width, stream.height, stream.fps, stream.intrinsics = width, height, self._fps, lens
        return stream

    def source(self) -> SyncerSource:
        """A source for ``RealSenseCamera`` that renders a picture whenever the driver waits for one."""
        return SyncerSource(self.device, pump=self.push)

    def push(self) -> None:
        """Renders and sends one pair of pictures, with the faults of the moment."""
        faults = self.faults
        if faults.unplugged:
            return
        if faults.frozen and self._sent is not None:
            self._send(*self._sent)
            return
        self._number += 1
        if faults.drop > 0:
            faults.drop -= 1
            return
        if faults.stuck_pixels and self._sent is not None:
            bgr, units = self._sent[:2]
        else:
            bgr, units = self._see()
        self._sent = (bgr, units, self._number, self._number * 1000.0 / self._fps)
        self._send(*self._sent)

    def _see(self) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        rgb, depth_m = self._render()
        rgb, depth = np.asarray(rgb), np.asarray(depth_m, dtype=np.float64)
        if rgb.shape != (*FRAME_SHAPE, 3) or rgb.dtype != np.uint8 or depth.shape != FRAME_SHAPE:
            raise ValueError(
                f"render: expected uint8 {(*FRAME_SHAPE, 3)} and {FRAME_SHAPE}, got {rgb.dtype} {rgb.shape} and "
                f"{depth.shape}"
            )
        hole = ~np.isfinite(depth) | (depth <= 0) | (self._random.random(FRAME_SHAPE) < self.faults.holes)
        if self._noise:
            # In uint8 steps of -1, 0, 1: half a grey level rms or so.
            grain = self._random.integers(-1, 2, FRAME_SHAPE, dtype=np.int16)[:, :, None]
            rgb = np.clip(rgb.astype(np.int16) + grain, 0, 255).astype(np.uint8)
            depth = depth + STEREO_NOISE * depth**2 * self._random.standard_normal(FRAME_SHAPE)
        units = np.where(hole, 0, np.rint(np.clip(np.where(hole, 0, depth), 0, 65.0) / DEPTH_SCALE_M))
        return np.ascontiguousarray(rgb[:, :, ::-1]), units.astype(np.uint16)

    def _send(self, bgr: NDArray[np.uint8], units: NDArray[np.uint16], number: int, at_ms: float) -> None:
        rs = self._rs
        pairs: list[tuple[Any, Any, NDArray[Any], int, float]] = [
            (self._color, self._color_profile, bgr, 3, at_ms),
        ]
        if not self.faults.no_depth:
            pairs.insert(0, (self._depth, self._depth_profile, units, 2, at_ms + self.faults.skew_ms))
        for sensor, profile, pixels, size, time_ms in pairs:
            frame = rs.software_video_frame()
            frame.stride, frame.bpp, frame.pixels = FRAME_SHAPE[1] * size, size, pixels
            frame.timestamp, frame.frame_number = time_ms, number
            frame.domain = rs.timestamp_domain.hardware_clock
            frame.profile = profile.as_video_stream_profile()
            if size == 2:
                frame.depth_units = DEPTH_SCALE_M
            sensor.on_video_frame(frame)


def record(path: str | os.PathLike[str], mock: MockRealSense, frames: int) -> Path:
    """Records pictures of a mock into a file that the vendor's pipeline plays.

    Args:
        path: ends in ``.db3`` and does not exist yet.
        mock: a device that is not streaming.
        frames: how many pairs to push; faults of the mock are recorded too.

    Returns:
        The path.

    Raises:
        ValueError: for another ending, an existing file or no frames.
    """
    file = Path(path)
    if file.suffix != ".db3" or file.exists() or frames < 1:
        raise ValueError(f"path, frames: expected a new file ending in .db3 and at least 1, got {file} and {frames}")
    rs = load_sdk()
    recorder = rs.recorder(str(file), mock.device)
    queue = rs.frame_queue(1)
    sensors = recorder.query_sensors()
    for sensor in sensors:
        sensor.open(sensor.get_stream_profiles())
        sensor.start(queue)
    for _ in range(frames):
        mock.push()
    for sensor in sensors:
        sensor.stop()
        sensor.close()
    recorder.pause()
    del recorder, sensors
    return file

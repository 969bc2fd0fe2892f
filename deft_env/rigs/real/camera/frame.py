"""From a frameset of the SDK to a ``Frame``: filtered, aligned, in metres, with the device's intrinsics."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deft_env.episode import FRAME_SHAPE, Frame
from deft_env.rigs.real.camera.config import FILTERS, CameraConfig
from deft_env.rigs.real.camera_source import CameraBlind, CameraMissing, Stream

Array = NDArray[np.float64]
DISTORTION_TOL: Final = 1e-6


class FrameMaker:
    """Makes the frames of one stream."""

    def __init__(self, rs: Any, stream: Stream, config: CameraConfig, T_base_cam: Array) -> None:
        """Prepares filters and alignment.

        Args:
            rs: the SDK.
            stream: what was started.
            config: names the filters and the least share of pixels with depth.
            T_base_cam: (4, 4) camera to robot base.
        """
        self._rs, self._stream, self._config, self._T_base_cam = rs, stream, config, T_base_cam
        self._align = rs.align(rs.stream.color)
        self._filters = [self._filter(name) for name in FILTERS if name in config.filters]

    def _filter(self, name: str) -> Any:
        rs = self._rs
        if name == "threshold":
            return rs.threshold_filter(self._config.min_depth_m, self._config.max_depth_m)
        return {"spatial": rs.spatial_filter, "temporal": rs.temporal_filter, "hole_filling": rs.hole_filling_filter}[
            name
        ]()

    def __call__(self, frames: Any) -> Frame:
        """Turns a frameset into a ``Frame``.

        Raises:
            CameraBlind: if too few pixels have depth.
            CameraMissing: if the pictures have another size or format, or a distorting lens.
        """
        rs, name = self._rs, self._stream.name
        for step in self._filters:
            frames = step.process(frames).as_frameset()
        # Where both sensors are one, the SDK's resampling would only punch holes of rounding.
        aligned = frames if self._is_aligned(frames) else self._align.process(frames)
        color, depth = aligned.get_color_frame(), aligned.get_depth_frame()
        rgb = np.asanyarray(color.get_data())
        profile = color.profile.as_video_stream_profile()
        if profile.format() == rs.format.bgr8:
            rgb = rgb[:, :, ::-1]
        elif profile.format() != rs.format.rgb8:
            raise CameraMissing(f"{name}: expected colour as rgb8 or bgr8, got {profile.format()}")
        if rgb.shape != (*FRAME_SHAPE, 3):
            raise CameraMissing(f"{name}: expected pictures of 640 x 480, got {rgb.shape[1]} x {rgb.shape[0]}")
        units = np.asanyarray(depth.get_data())
        depth_m = (units.astype(np.float64) * self._stream.depth_scale_m).astype(np.float32)
        valid = float(np.mean(units > 0))
        if valid < self._config.min_valid:
            raise CameraBlind(
                f"{name}: only {valid:.0%} of the pixels have depth, at least {self._config.min_valid:.0%} expected; "
                "is something close to the lens, or does the sun shine on the table?"
            )
        return Frame(np.array(rgb, dtype=np.uint8), depth_m, self._intrinsics(profile), self._T_base_cam.copy())

    @staticmethod
    def _is_aligned(frames: Any) -> bool:
        color, depth = (
            frame.profile.as_video_stream_profile() for frame in (frames.get_color_frame(), frames.get_depth_frame())
        )
        a, b, pose = color.get_intrinsics(), depth.get_intrinsics(), depth.get_extrinsics_to(color)
        same = all(getattr(a, name) == getattr(b, name) for name in ("width", "height", "fx", "fy", "ppx", "ppy"))
        return same and not any(pose.translation) and np.array_equal(pose.rotation, np.eye(3).ravel())

    def _intrinsics(self, profile: Any) -> Array:
        i = profile.get_intrinsics()
        if np.abs(i.coeffs).max() > DISTORTION_TOL:
            raise CameraMissing(
                f"{self._stream.name}: its colour stream is distorted ({i.model}, {[round(c, 4) for c in i.coeffs]}); "
                "this driver expects a camera that rectifies itself, such as the D435"
            )
        # The SDK calls the centre of the upper left pixel (0, 0); a Frame calls its corner that.
        return np.array([[i.fx, 0.0, i.ppx + 0.5], [0.0, i.fy, i.ppy + 0.5], [0.0, 0.0, 1.0]])

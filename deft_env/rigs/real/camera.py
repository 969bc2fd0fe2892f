"""The RGBD camera through the vendor's ``pyrealsense2``: one fresh, aligned, checked picture at a time.

``capture`` hands out a ``Frame``: colour as seen, depth aligned to colour in metres with 0 where there is none,
intrinsics as the device reports them, counted from the picture's edge. A picture that is old, the same again, half
missing or blind is refused with a typed error instead of being handed to a prior.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env.episode import FRAME_SHAPE, Frame
from deft_env.rigs.real.camera_source import (
    CameraBlind,
    CameraError,
    CameraFrozen,
    CameraMissing,
    CameraStale,
    CameraTimeout,
    FramesetSource,
    PipelineSource,
    Stream,
    load_sdk,
)

Array = NDArray[np.float64]

FILTERS: Final = ("threshold", "spatial", "temporal", "hole_filling")
"""Optional depth filters of the SDK, applied in this order, before alignment."""
DISTORTION_TOL: Final = 1e-6


@dataclass(frozen=True, slots=True)
class CameraConfig:
    """The camera.

    Attributes:
        serial: picks one of several cameras; empty takes the first.
        fps: of both streams, 640 x 480.
        filters: names out of ``FILTERS``; none by default, so that holes stay holes.
        min_depth_m, max_depth_m: of the threshold filter.
        warmup: framesets thrown away at the start while exposure settles.
        timeout_s: how long to wait for one frameset.
        attempts: framesets looked at before a capture gives up.
        max_skew_ms: most time between depth and colour of a pair.
        max_age_s: most age of a picture, where the device's clock is the host's.
        max_lost: most frames missing between two framesets that were received one after the other.
        refuse_identical: a real sensor is noisy: two pictures with equal pixels come from one that hangs.
        min_valid: least share of pixels with depth.
    """

    serial: str = ""
    fps: int = 30
    filters: tuple[str, ...] = ()
    min_depth_m: float = 0.15
    max_depth_m: float = 3.0
    warmup: int = 30
    timeout_s: float = 2.0
    attempts: int = 10
    max_skew_ms: float = 20.0
    max_age_s: float = 0.5
    max_lost: int = 5
    refuse_identical: bool = True
    min_valid: float = 0.3

    def __post_init__(self) -> None:
        unknown = [name for name in self.filters if name not in FILTERS]
        if unknown:
            raise ValueError(f"filters: expected names out of {FILTERS}, got {unknown}")
        for name in ("timeout_s", "attempts", "max_skew_ms", "max_age_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected more than 0, got {getattr(self, name)}")
        if not 0 <= self.min_valid <= 1:
            raise ValueError(f"min_valid: expected 0 to 1, got {self.min_valid}")


@dataclass(frozen=True, slots=True)
class Taken:
    """Numbers and times of the two pictures of the last capture, as the device gave them (ms on its clock)."""

    depth_number: int
    color_number: int
    depth_ms: float
    color_ms: float


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
            T_base_cam: (4, 4) from ``calibration``, camera to robot base.
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
        self._rs: Any = None
        self._align: Any = None
        self._filters: list[Any] = []
        self._stream: Stream | None = None
        self._last: Taken | None = None
        self._digest = b""

    # --- life ---------------------------------------------------------------------------------------------------------
    def start(self) -> Self:
        """Starts the stream and lets exposure settle.

        Raises:
            ImportError: without the SDK, naming the extra.
            CameraError: one of its kinds.
        """
        self._rs = load_sdk()
        # A stream counts its frames from the start: what the last one showed says nothing about this one.
        self._last, self._digest = None, b""
        self._stream = self._source.start()
        self._align = self._rs.align(self._rs.stream.color)
        self._filters = [self._filter(name) for name in FILTERS if name in self.config.filters]
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
        return self._last

    def _filter(self, name: str) -> Any:
        rs = self._rs
        if name == "threshold":
            return rs.threshold_filter(self.config.min_depth_m, self.config.max_depth_m)
        return {"spatial": rs.spatial_filter, "temporal": rs.temporal_filter, "hole_filling": rs.hole_filling_filter}[
            name
        ]()

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
        name = self.stream.name
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
                    or self._repeats(depth or color)
                    or CameraStale(f"{name}: framesets come without {lacking}; restart the camera")
                )
                continue
            taken = Taken(
                int(depth.get_frame_number()),
                int(color.get_frame_number()),
                float(depth.get_timestamp()),
                float(color.get_timestamp()),
            )
            refused = self._refuse(taken, previous, color) or self._same_pixels(depth, color)
            previous = taken.color_number
            if refused is None:
                self._last = taken
                return self._frame(frames)
        if refused is not None:
            raise refused
        raise CameraTimeout(
            f"{name}: no picture within {self.config.timeout_s} s; is the camera unplugged, or has the recording ended?"
        )

    def _refuse(self, taken: Taken, previous: int | None, color: Any) -> CameraError | None:
        name, config, last = self.stream.name, self.config, self._last
        skew = abs(taken.depth_ms - taken.color_ms)
        if skew > config.max_skew_ms:
            return CameraStale(
                f"{name}: depth and colour lie {skew:.1f} ms apart, at most {config.max_skew_ms} ms allowed; the scene "
                "may have moved in between: lower fps or resolution, or use a USB 3 port"
            )
        if last is not None and (
            min(taken.color_number - last.color_number, taken.depth_number - last.depth_number) <= 0
            or min(taken.color_ms - last.color_ms, taken.depth_ms - last.depth_ms) <= 0
        ):
            return CameraFrozen(
                f"{name}: frame {taken.color_number} at {taken.color_ms:.1f} ms is not newer than frame "
                f"{last.color_number} at {last.color_ms:.1f} ms; the stream hangs: replug or restart the camera"
            )
        if previous is not None and taken.color_number - previous - 1 > config.max_lost:
            return CameraStale(
                f"{name}: {taken.color_number - previous - 1} frames were lost in a row, at most {config.max_lost} "
                "allowed; check the USB cable and the load of the machine"
            )
        domain = color.get_frame_timestamp_domain()
        if domain in (self._rs.timestamp_domain.system_time, self._rs.timestamp_domain.global_time):
            age = self._wall_clock() - taken.color_ms / 1000
            if age > config.max_age_s:
                return CameraStale(f"{name}: the picture is {age:.2f} s old, at most {config.max_age_s} s allowed")
        return None

    def _repeats(self, frame: Any) -> CameraError | None:
        """For half a pair: whether it is the picture that was handed out last."""
        last = self._last
        if last is None or int(frame.get_frame_number()) > max(last.color_number, last.depth_number):
            return None
        return CameraFrozen(f"{self.stream.name}: frame {frame.get_frame_number()} is not newer than the last one")

    def _same_pixels(self, depth: Any, color: Any) -> CameraError | None:
        digest = hashlib.blake2b(np.asanyarray(depth.get_data()).tobytes(), digest_size=16)
        digest.update(np.asanyarray(color.get_data()).tobytes())
        same, self._digest = digest.digest() == self._digest, digest.digest()
        if same and self.config.refuse_identical:
            return CameraFrozen(
                f"{self.stream.name}: pictures have new numbers but equal pixels, and a real sensor is never without "
                "noise: it hangs; replug it (or set refuse_identical=False for noiseless sources)"
            )
        return None

    def _frame(self, frames: Any) -> Frame:
        rs, name = self._rs, self.stream.name
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
        depth_m = (units.astype(np.float64) * self.stream.depth_scale_m).astype(np.float32)
        valid = float(np.mean(units > 0))
        if valid < self.config.min_valid:
            raise CameraBlind(
                f"{name}: only {valid:.0%} of the pixels have depth, at least {self.config.min_valid:.0%} expected; is "
                "something close to the lens, or does the sun shine on the table?"
            )
        return Frame(np.array(rgb, dtype=np.uint8), depth_m, self._intrinsics(profile), self.T_base_cam.copy())

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
                f"{self.stream.name}: its colour stream is distorted ({i.model}, {[round(c, 4) for c in i.coeffs]}); "
                "this driver expects a camera that rectifies itself, such as the D435"
            )
        # The SDK calls the centre of the upper left pixel (0, 0); a Frame calls its corner that.
        return np.array([[i.fx, 0.0, i.ppx + 0.5], [0.0, i.fy, i.ppy + 0.5], [0.0, 0.0, 1.0]])

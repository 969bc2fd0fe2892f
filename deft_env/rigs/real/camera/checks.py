"""Which pictures of a stream are refused: torn, repeated, old, or without a change in any pixel."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from deft_env.rigs.real.camera.config import CameraConfig
from deft_env.rigs.real.camera_source import CameraError, CameraFrozen, CameraStale


@dataclass(frozen=True, slots=True)
class Taken:
    """Numbers and times of the two pictures of the last capture, as the device gave them (ms on its clock)."""

    depth_number: int
    color_number: int
    depth_ms: float
    color_ms: float


class FrameChecks:
    """What one stream has shown so far, and what its next pictures must not be.

    Attributes:
        last: numbers and times of the last pair that was handed out; None before it.
    """

    def __init__(self, rs: Any, name: str, config: CameraConfig, wall_clock: Callable[[], float]) -> None:
        """Checks for a stream that has just begun.

        Args:
            rs: the SDK.
            name: the device's, for messages.
            config: what is allowed.
            wall_clock: seconds since the epoch, against which host time stamps are held.
        """
        self.last: Taken | None = None
        self._name, self._config, self._wall_clock = name, config, wall_clock
        self._host_clocks = (rs.timestamp_domain.system_time, rs.timestamp_domain.global_time)
        self._digest = b""

    def refuse(self, taken: Taken, previous: int | None, color: Any) -> CameraError | None:
        """What speaks against a pair: torn, not newer than the last one, after too many lost ones, or old.

        Args:
            taken: numbers and times of the pair.
            previous: number of the colour picture before it in this capture; None for the first.
            color: the colour picture, which says whose clock ``taken`` is on.
        """
        name, config, last = self._name, self._config, self.last
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
        if domain in self._host_clocks:
            age = self._wall_clock() - taken.color_ms / 1000
            if age > config.max_age_s:
                return CameraStale(f"{name}: the picture is {age:.2f} s old, at most {config.max_age_s} s allowed")
        return None

    def repeats(self, frame: Any) -> CameraError | None:
        """For half a pair: whether it is the picture that was handed out last."""
        last = self.last
        if last is None or int(frame.get_frame_number()) > max(last.color_number, last.depth_number):
            return None
        return CameraFrozen(f"{self._name}: frame {frame.get_frame_number()} is not newer than the last one")

    def same_pixels(self, depth: Any, color: Any) -> CameraError | None:
        """Whether a pair has the pixels of the one before."""
        digest = hashlib.blake2b(np.asanyarray(depth.get_data()).tobytes(), digest_size=16)
        digest.update(np.asanyarray(color.get_data()).tobytes())
        same, self._digest = digest.digest() == self._digest, digest.digest()
        if same and self._config.refuse_identical:
            return CameraFrozen(
                f"{self._name}: pictures have new numbers but equal pixels, and a real sensor is never without "
                "noise: it hangs; replug it (or set refuse_identical=False for noiseless sources)"
            )
        return None

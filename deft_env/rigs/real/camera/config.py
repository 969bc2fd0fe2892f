"""Configuration of the camera: which one, how it streams, and which pictures are refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FILTERS: Final = ("threshold", "spatial", "temporal", "hole_filling")
"""Optional depth filters of the SDK, applied in this order, before alignment."""


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

"""Where the camera is, as a file: what ``deft calibrate camera`` writes and the rig reads."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from deft_env.files import write_atomically

Array = NDArray[np.float64]

METHODS: Final = ("TSAI", "PARK", "HORAUD", "ANDREFF", "DANIILIDIS")
"""OpenCV's closed-form solvers, any of which may have given the start."""
FORMAT: Final = "deft-camera-calibration-1"
MAX_FILE_BYTES: Final = 200_000


@dataclass(frozen=True, slots=True, eq=False)
class CameraCalibration:
    """Where the camera is.

    Attributes:
        T_base_cam: (4, 4) camera to robot base.
        T_hand_board: (4, 4) board to hand.
        K: (3, 3) intrinsics of the views.
        method: the closed-form solver that gave the start.
        rms_px, max_px: reprojection error over all corners.
        view_rms_px: (V,) of each view.
        held_out_rms_px: of each third of the views, under a calibration from the others.
    """

    T_base_cam: Array
    T_hand_board: Array
    K: Array
    method: str
    rms_px: float
    max_px: float
    view_rms_px: Array
    held_out_rms_px: float

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes JSON, first to a temporary name."""
        data = {"format": FORMAT, "method": self.method}
        numbers: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__ if name != "method"}
        data.update({name: np.asarray(value).tolist() for name, value in numbers.items()})
        write_atomically(path, json.dumps(data, indent=1, allow_nan=False).encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads what ``save`` wrote; the file is not trusted.

        Raises:
            ValueError: if it is missing, too large, of another format, or not a rigid transform.
        """
        file = Path(path)
        if not file.is_file():
            raise ValueError(f"{file}: there is no such file; `deft calibrate camera` writes it")
        if file.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"{file}: expected below {MAX_FILE_BYTES} bytes, got {file.stat().st_size}")
        try:
            data = json.loads(file.read_text())
            if not isinstance(data, dict) or data.get("format") != FORMAT:
                raise ValueError(f"expected format {FORMAT!r}")
            if data["method"] not in METHODS:
                raise ValueError(f"method: expected one of {METHODS}, got {data['method']!r}")
            arrays = {name: np.array(data[name], dtype=np.float64) for name in cls.__slots__ if name != "method"}
            shapes = {"T_base_cam": (4, 4), "T_hand_board": (4, 4), "K": (3, 3)}
            for name, value in arrays.items():
                if not np.isfinite(value).all() or value.shape != shapes.get(name, value.shape):
                    raise ValueError(f"{name}: wrong shape or not finite")
            for name in ("T_base_cam", "T_hand_board"):
                R, last = arrays[name][:3, :3], arrays[name][3]
                rigid = np.abs(R @ R.T - np.eye(3)).max() < 1e-6 and np.linalg.det(R) > 0
                if not rigid or not np.array_equal(last, [0, 0, 0, 1]):
                    raise ValueError(f"{name}: not a rigid transform")
            scalars = [float(arrays[name]) for name in ("rms_px", "max_px", "held_out_rms_px")]
            poses = (arrays["T_base_cam"], arrays["T_hand_board"], arrays["K"])
            return cls(
                *poses, str(data["method"]), scalars[0], scalars[1], np.atleast_1d(arrays["view_rms_px"]), scalars[2]
            )
        except (ValueError, KeyError, TypeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"{file}: not a camera calibration ({error}); run 'deft calibrate camera'") from error

"""Fiducials: a ChArUco board for the camera's calibration, single ArUco markers on the links for the motor map.

OpenCV calls the centre of the upper left pixel (0, 0); ``Frame.K`` counts from the picture's edge. Corners leave this
module counted from the edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_EDGE_PX = 0.5
"""Added to OpenCV's corners, see the module."""


def load_cv2() -> ModuleType:
    """Imports OpenCV 4 with its ArUco module.

    Raises:
        ImportError: naming the extra, or the versions that have what calibration needs.
    """
    try:
        import cv2
    except ImportError as error:
        raise ImportError(
            f"needs the extra 'hardware': pip install 'deft-hand[hardware]' (opencv-python-headless: {error})"
        ) from error
    if not hasattr(cv2, "calibrateHandEye") or not hasattr(cv2, "aruco"):
        raise ImportError(
            f"calibration needs OpenCV 4.10 or later of series 4 (5.0's Python package lacks calibrateHandEye), got "
            f"{cv2.__version__}: pip install 'opencv-python-headless>=4.10,<5'"
        )
    return cv2  # type: ignore[no-any-return, unused-ignore]


def _dictionary(cv2: Any, name: str) -> Any:
    if not name.startswith("DICT_") or not hasattr(cv2.aruco, name):
        raise ValueError(f"dictionary: expected an OpenCV ArUco dictionary such as 'DICT_4X4_50', got {name!r}")
    return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name))


@dataclass(frozen=True, slots=True)
class Board:
    """A ChArUco board. The board's frame: origin at the upper left corner, x right, y down, z into it.

    Attributes:
        columns, rows: squares.
        square_m, marker_m: printed sizes; measure them with a calliper.
        dictionary: of OpenCV.
        min_corners: a view with fewer is not used.
    """

    columns: int = 5
    rows: int = 4
    square_m: float = 0.020
    marker_m: float = 0.015
    dictionary: str = "DICT_4X4_50"
    min_corners: int = 6

    def __post_init__(self) -> None:
        if self.columns < 3 or self.rows < 3 or not 0 < self.marker_m < self.square_m:
            raise ValueError(
                "columns, rows, marker_m: expected at least 3 x 3 squares and markers smaller than squares, got "
                f"{self.columns} x {self.rows}, {self.marker_m} m in {self.square_m} m"
            )

    def _board(self, cv2: Any) -> Any:
        size, words = (self.columns, self.rows), _dictionary(cv2, self.dictionary)
        return cv2.aruco.CharucoBoard(size, self.square_m, self.marker_m, words)

    def image(self, px_per_square: int = 120) -> NDArray[np.uint8]:
        """The board to print, without margin: (rows * px, columns * px) grey."""
        size = (self.columns * px_per_square, self.rows * px_per_square)
        return np.asarray(self._board(load_cv2()).generateImage(size), dtype=np.uint8)

    def detect(self, rgb: NDArray[np.uint8]) -> tuple[Array, Array] | None:
        """Finds the board.

        Returns:
            Corners in the picture (n, 2), px from its edge, and on the board (n, 3), m; None if too few are seen.
        """
        cv2 = load_cv2()
        board = self._board(cv2)
        grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
        corners, ids, _, _ = cv2.aruco.CharucoDetector(board).detectBoard(grey)
        if ids is None or len(ids) < self.min_corners:
            return None
        points = np.asarray(board.getChessboardCorners(), dtype=np.float64)[np.ravel(ids)]
        if np.linalg.matrix_rank(points[:, :2] - points[:, :2].mean(axis=0), tol=1e-9) < 2:
            return None  # corners of one row: no pose
        return np.asarray(corners, dtype=np.float64).reshape(-1, 2) + _EDGE_PX, points


def marker_image(number: int, dictionary: str, size_px: int) -> NDArray[np.uint8]:
    """A marker to print (size_px, size_px), grey, without its white rim: leave one module, a sixth of 4 x 4's size."""
    cv2 = load_cv2()
    return np.asarray(cv2.aruco.generateImageMarker(_dictionary(cv2, dictionary), number, size_px), dtype=np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """One of at most two poses that explain a marker's picture: small square things look alike when tilted either way.

    Attributes:
        T_cam_marker: (4, 4); x right, y up, z out of the marker.
        error_px: rms reprojection error of its corners.
    """

    T_cam_marker: Array
    error_px: float


def detect_markers(rgb: NDArray[np.uint8], K: Array, size_m: float, dictionary: str) -> dict[int, tuple[Sighting, ...]]:
    """Poses of single square markers: id -> what it may be, the likelier first."""
    cv2 = load_cv2()
    detector = cv2.aruco.ArucoDetector(_dictionary(cv2, dictionary))
    detector.setDetectorParameters(_refined(cv2))
    grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    found, ids, _ = detector.detectMarkers(grey)
    half = size_m / 2
    corners = np.array([[-half, half, 0], [half, half, 0], [half, -half, 0], [-half, -half, 0]])
    out: dict[int, tuple[Sighting, ...]] = {}
    for quad, number in zip(found, [] if ids is None else np.ravel(ids), strict=True):
        good, rotations, shifts, errors = cv2.solvePnPGeneric(
            corners,
            np.asarray(quad, dtype=np.float64).reshape(4, 2) + _EDGE_PX,
            K,
            None,
            flags=cv2.SOLVEPNP_IPPE_SQUARE,
        )
        if good:
            out[int(number)] = tuple(
                Sighting(transform(cv2.Rodrigues(rotation)[0], np.ravel(shift)), float(np.ravel(error)[0]))
                for rotation, shift, error in zip(rotations, shifts, errors, strict=True)
            )
    return out


def _refined(cv2: Any) -> Any:
    parameters = cv2.aruco.DetectorParameters()
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    return parameters


def board_pose(points_px: Array, points_m: Array, K: Array) -> Array:
    """T_cam_board (4, 4) of a planar board from its corners (n, 2) and (n, 3)."""
    cv2 = load_cv2()
    good, rotations, shifts, _ = cv2.solvePnPGeneric(points_m, points_px, K, None, flags=cv2.SOLVEPNP_IPPE)
    if not good:
        raise ValueError("points_px: no pose of the board fits these corners")
    rotation, shift = cv2.solvePnPRefineLM(points_m, points_px, K, None, rotations[0], shifts[0])
    return transform(cv2.Rodrigues(rotation)[0], np.ravel(shift))


def transform(rotation: Array, shift: Array) -> Array:
    """(4, 4) from a rotation (3, 3) and a translation (3,)."""
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = rotation, shift
    return T


def invert(T: Array) -> Array:
    """The inverse of a rigid transform (4, 4)."""
    return transform(T[:3, :3].T, -T[:3, :3].T @ T[:3, 3])


def project(points_m: Array, T_cam: Array, K: Array) -> Array:
    """Points (n, 3) -> pixels (n, 2), for ``T_cam`` mapping them to the camera."""
    p = points_m @ T_cam[:3, :3].T + T_cam[:3, 3]
    uv: Array = p[:, :2] / p[:, 2:] @ K[:2, :2].T + K[:2, 2]
    return uv

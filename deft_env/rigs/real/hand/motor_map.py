"""The motor map: 12 motor angles <-> 16 finger joint angles, fitted to recorded pairs.

Motors do not know where tendon-driven fingers are, so pairs (motor angles, joint angles seen by a camera) are recorded
and a map is learned; commands go through its inverse. The model (our choice): a joint follows its own motor through a
strictly monotone piecewise-linear curve, plus a linear coupling to the finger's other motors (tendons that run past a
joint pull on it). Both are linear in their parameters, so the fit is one bounded least squares a joint.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env import grasp, paper
from deft_env.files import write_atomically
from deft_env.rigs.real.hand.motor_fit import COUPLED, DRIVERS, KNOTS, SMOOTHING, JointResidual, fit_joints

Array = NDArray[np.float64]

FORMAT: Final = "deft-motor-map-1"
MAX_FILE_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class MotorMap:
    """A map between motors and joints. Make one with ``fit``, ``nominal`` or ``load``.

    Attributes:
        knots_rad: (12, K) increasing motor angles where the curves are given; outermost ones bound the range.
        values_rad: (16, K) each joint's angle at its own motor's knots, strictly monotone.
        coupling: (16, 12) rad per rad of the finger's other motors.
        source: ``"fitted"`` or ``"nominal"``, the assumed hand of ``grasp``; outputs name the latter as assumed.
        residuals: one a joint; empty for a nominal map.
    """

    knots_rad: Array
    values_rad: Array
    coupling: Array
    source: str = "fitted"
    residuals: tuple[JointResidual, ...] = ()

    motor_names = grasp.MOTOR_NAMES
    joint_names = grasp.JOINT_NAMES

    def __post_init__(self) -> None:
        for name in ("knots_rad", "values_rad", "coupling"):
            object.__setattr__(self, name, np.array(getattr(self, name), dtype=np.float64))
        k = self.knots_rad.shape[-1] if self.knots_rad.ndim == 2 else 0
        shapes = (self.knots_rad.shape, self.values_rad.shape, self.coupling.shape)
        if not 2 <= k <= 100 or shapes != ((12, k), (16, k), (16, 12)):
            raise ValueError(f"motor map: expected shapes (12, K), (16, K), (16, 12) with 2 <= K <= 100, got {shapes}")
        if not all(np.isfinite(a).all() for a in (self.knots_rad, self.values_rad, self.coupling)):
            raise ValueError("motor map: every entry must be finite")
        if np.any(np.diff(self.knots_rad) <= 0):
            raise ValueError("knots_rad: each motor's knots must increase")
        steps = np.diff(self.values_rad)
        if np.any(np.abs(np.sign(steps).sum(axis=1)) != k - 1):
            bad = [self.joint_names[j] for j in np.flatnonzero(np.abs(np.sign(steps).sum(axis=1)) != k - 1)]
            raise ValueError(f"values_rad: each joint must be strictly monotone in its motor, but {bad} are not")
        if np.any(self.coupling[~COUPLED] != 0):
            raise ValueError("coupling: only the other motors of a joint's own finger may pull on it")

    @property
    def motor_low_rad(self) -> Array:
        """(12,) smallest motor angles that the map knows."""
        return self.knots_rad[:, 0]

    @property
    def motor_high_rad(self) -> Array:
        """(12,) largest motor angles that the map knows."""
        return self.knots_rad[:, -1]

    # --- making -------------------------------------------------------------------------------------------------------
    @classmethod
    def nominal(cls) -> Self:
        """The assumed hand of ``grasp``: straight lines, no coupling; ``invert`` is ``grasp.joints_to_motors``."""
        low, high = grasp.LOW[grasp.FINGERS], grasp.HIGH[grasp.FINGERS]
        knots = np.stack([grasp.joints_to_motors(low), grasp.joints_to_motors(high)], axis=1)
        gain = np.array([grasp.DIP_PER_PIP if name.endswith("_dip") else 1.0 for name in grasp.JOINT_NAMES])
        return cls(knots, gain[:, None] * knots[list(DRIVERS)], np.zeros((16, 12)), "nominal")

    @classmethod
    def fit(
        cls, motors_rad: ArrayLike, joints_rad: ArrayLike, *, knots: int = KNOTS, smoothing: float = SMOOTHING
    ) -> Self:
        """Fits a map to recorded pairs.

        Args:
            motors_rad: (N, 12) motor angles, in the order of ``grasp.MOTOR_NAMES``.
            joints_rad: (N, 16) joint angles seen, in the order of ``grasp.JOINT_NAMES``; NaN where a joint was hidden.
            knots: support points of each curve.
            smoothing: weight of the ridge on curvature and coupling.

        Raises:
            ValueError: if shapes are wrong, a motor hardly moved, or a joint was seen too seldom.
        """
        grid, values, coupling, residuals = fit_joints(motors_rad, joints_rad, knots, smoothing)
        return cls(grid, values, coupling, "fitted", residuals)

    # --- using --------------------------------------------------------------------------------------------------------
    def predict(self, motors_rad: ArrayLike) -> Array:
        """Motor angles (..., 12), clipped to the map's range -> joint angles (..., 16)."""
        m = np.clip(grasp.check(motors_rad, "motors_rad", 12), self.motor_low_rad, self.motor_high_rad)
        out = np.einsum("...m,jm->...j", m, self.coupling, optimize=False)
        for j, driver in enumerate(DRIVERS):
            out[..., j] += np.interp(m[..., driver], self.knots_rad[driver], self.values_rad[j])
        return out

    def invert(self, joints_rad: ArrayLike) -> Array:
        """Joint angles (..., 16) -> the motor angles (..., 12) whose prediction is nearest (least squares, in range).

        Exact for poses that the motors can do. PIP and DIP share a motor: where they contradict, the best compromise.
        """
        wish = grasp.check(joints_rad, "joints_rad", paper.FINGER_JOINTS)
        flat = wish.reshape(-1, paper.FINGER_JOINTS)
        out = np.empty((len(flat), 12))
        for finger in range(4):
            out[:, 3 * finger : 3 * finger + 3] = self._invert_finger(flat[:, 4 * finger : 4 * finger + 4], finger)
        return out.reshape(*wish.shape[:-1], 12)

    def _invert_finger(self, wish: Array, finger: int) -> Array:
        """Bounded descent on each motor in turn; each step is an exact line search over the curve's pieces.

        Between two knots every joint is linear in the motor, so the squared error is a parabola a piece: the best point
        of each piece is known in closed form, and the best piece wins. Couplings make the rounds necessary.
        """
        rows, motors = np.arange(4 * finger, 4 * finger + 4), np.arange(3 * finger, 3 * finger + 3)
        m = np.tile(0.5 * (self.motor_low_rad + self.motor_high_rad)[motors], (len(wish), 1))
        active = np.arange(len(wish))
        for _ in range(100):
            # Rows leave when they have settled, each on its own: the same bits whatever the batch.
            now = m[active].copy()
            for a, motor in enumerate(range(3 * finger, 3 * finger + 3)):
                full = np.zeros((len(active), 12))
                full[:, motors] = now
                rest: Array = wish[active] - self._of_others(full, rows, motor)
                now[:, a] = self._best_on_pieces(rest, rows, motor)
            moving = np.abs(now - m[active]).max(axis=1) >= 1e-12
            m[active] = now
            active = active[moving]
            if not len(active):
                break
        return m

    def _of_others(self, full: Array, rows: NDArray[np.int64], motor: int) -> Array:
        """What the joints ``rows`` would be without ``motor``'s share."""
        out = np.zeros((len(full), len(rows)))
        for c, j in enumerate(rows):
            for other in range(12):
                if other != motor and self.coupling[j, other]:
                    out[:, c] += self.coupling[j, other] * full[:, other]
            if DRIVERS[j] != motor:
                out[:, c] += np.interp(full[:, DRIVERS[j]], self.knots_rad[DRIVERS[j]], self.values_rad[j])
        return out

    def _best_on_pieces(self, rest: Array, rows: NDArray[np.int64], motor: int) -> Array:
        knots = self.knots_rad[motor]
        share = np.stack(
            [self.coupling[j, motor] * knots + (self.values_rad[j] if DRIVERS[j] == motor else 0.0) for j in rows]
        )
        slope = np.diff(share) / np.diff(knots)
        offset = rest[:, :, None] - share[None, :, :-1]
        step = np.einsum("njk,jk->nk", offset, slope, optimize=False) / np.maximum((slope**2).sum(axis=0), 1e-12)
        step = np.clip(step, 0.0, np.diff(knots))
        error = ((offset - slope * step[:, None, :]) ** 2).sum(axis=1)
        best = error.argmin(axis=1)
        return knots[best] + step[np.arange(len(rest)), best]

    # --- files --------------------------------------------------------------------------------------------------------
    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes JSON, first to a temporary name, so that no half-written map is ever read."""
        data = {
            "format": FORMAT,
            "source": self.source,
            "motors": list(self.motor_names),
            "joints": list(self.joint_names),
            "knots_rad": self.knots_rad.tolist(),
            "values_rad": self.values_rad.tolist(),
            "coupling": self.coupling.tolist(),
            "residuals": [
                {
                    "joint": r.joint,
                    "pairs": r.pairs,
                    "rms_rad": r.rms_rad,
                    "max_rad": r.max_rad,
                    "held_out_rms_rad": r.held_out_rms_rad,
                }
                for r in self.residuals
            ],
        }
        write_atomically(path, json.dumps(data, indent=1, allow_nan=False).encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads what ``save`` wrote; the file is not trusted.

        Raises:
            ValueError: if the file is missing, too large, of another format, for other motors, or not a monotone map.
        """
        file = Path(path)
        if not file.is_file():
            raise ValueError(
                f"{file}: there is no such file; `deft calibrate hand` writes it, and hand.motor_map: "
                "nominal is the assumed hand"
            )
        if file.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"{file}: expected a motor map below {MAX_FILE_BYTES} bytes, got {file.stat().st_size}")
        try:
            data = json.loads(file.read_text())
            if not isinstance(data, dict) or data.get("format") != FORMAT:
                raise ValueError(
                    f"expected format {FORMAT!r}, got {data.get('format') if isinstance(data, dict) else data!r}"
                )
            if data["motors"] != list(grasp.MOTOR_NAMES) or data["joints"] != list(grasp.JOINT_NAMES):
                raise ValueError("made for other motors or joints, or in another order")
            residuals = tuple(
                JointResidual(
                    str(r["joint"]),
                    int(r["pairs"]),
                    float(r["rms_rad"]),
                    float(r["max_rad"]),
                    float(r["held_out_rms_rad"]),
                )
                for r in data["residuals"]
            )
            if data["source"] not in ("fitted", "nominal"):
                raise ValueError(f"source: expected 'fitted' or 'nominal', got {data['source']!r}")
            knots, values, coupling = (
                np.array(data[name], dtype=np.float64) for name in ("knots_rad", "values_rad", "coupling")
            )
            return cls(knots, values, coupling, data["source"], residuals)
        except (ValueError, KeyError, TypeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"{file}: not a motor map ({error}); make one with 'deft calibrate hand'") from error

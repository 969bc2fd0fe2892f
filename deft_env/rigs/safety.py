"""What a real rig checks before anything moves: pure functions that return violations in words.

Nothing here moves, clips or repairs: a check says what is wrong, by how much, and the rig refuses the episode (status
``failed``, reason ``"unsafe"``). The one thing with a clock is ``Watchdog``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env import grasp

Array = NDArray[np.float64]

XARM6_JOINT_LOW_RAD: Final = (-2 * np.pi, -2.042, -3.8223, -2 * np.pi, -1.69297, -2 * np.pi)
XARM6_JOINT_HIGH_RAD: Final = (2 * np.pi, 2.0246, 0.1745, 2 * np.pi, np.pi, 2 * np.pi)
"""The narrower of the xArm6's two published tables, so that either hardware revision is safe."""
_FLOAT_TOL: Final = 1e-9
"""Values clipped to a limit may exceed it by rounding."""


class SafetyError(RuntimeError):
    """A motion was refused before it began; ``violations`` say why."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        """Joins the violations into one message."""
        self.violations = tuple(violations)
        super().__init__("refused before moving: " + "; ".join(str(v) for v in self.violations))


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken limit.

    Attributes:
        rule: ``workspace``, ``table``, ``speed``, ``turn``, ``joint``, ``joint speed``, ``residual``, ``fingers``,
            ``watchdog`` or ``not finite``.
        what: the coordinate, point or joint, by name.
        value: what was asked for.
        limit: the limit that it breaks.
        unit: of both.
        step: index into the path; -1 where there is none.
    """

    rule: str
    what: str
    value: float
    limit: float
    unit: str
    step: int = -1

    def __str__(self) -> str:
        at = f" at step {self.step}" if self.step >= 0 else ""
        side = "above" if self.value > self.limit else "below"
        if not np.isfinite(self.value):
            return f"{self.rule}: {self.what}{at} is {self.value}"
        limit = f"{side} its limit {self.limit:.4g} {self.unit}"
        return f"{self.rule}: {self.what}{at} = {self.value:.4g} {self.unit}, {limit}"


@dataclass(frozen=True, slots=True)
class SafetyLimits:
    """The limits of a rig.

    Attributes:
        workspace_low_m, workspace_high_m: box of the grasp site, robot base frame.
        path_margin_m: how far the path after the grasp may leave that box, sideways and upwards; never downwards.
        table_z_m: height of the table top.
        table_margin_m: no point of the hand comes nearer to the table than this.
        hand_points_m: (k, 3) points of the hand in its own frame that must stay above the table; the origin is the
            grasp site, which is always checked.
        max_speed_m_s, max_turn_rad_s: of the grasp site.
        joint_low_rad, joint_high_rad, max_joint_speed_rad_s: of the arm.
        joint_names: of the arm, for messages.
        max_residual_sigma: a residual is in whitened units, per coordinate.
    """

    workspace_low_m: tuple[float, float, float] = tuple(grasp.WORKSPACE_LOW_M.tolist())
    workspace_high_m: tuple[float, float, float] = tuple(grasp.WORKSPACE_HIGH_M.tolist())
    path_margin_m: float = 0.05
    table_z_m: float = 0.0
    table_margin_m: float = 0.003
    hand_points_m: tuple[tuple[float, float, float], ...] = ()
    max_speed_m_s: float = 0.25
    max_turn_rad_s: float = 1.5
    joint_low_rad: tuple[float, ...] = XARM6_JOINT_LOW_RAD
    joint_high_rad: tuple[float, ...] = XARM6_JOINT_HIGH_RAD
    max_joint_speed_rad_s: float = 1.5
    joint_names: tuple[str, ...] = field(default_factory=lambda: tuple(f"joint{i + 1}" for i in range(6)))
    max_residual_sigma: float = 8.0

    def __post_init__(self) -> None:
        if not all(a < b for a, b in zip(self.workspace_low_m, self.workspace_high_m, strict=True)):
            raise ValueError(f"workspace_low_m: expected below workspace_high_m, got {self.workspace_low_m}")
        lengths = {len(self.joint_low_rad), len(self.joint_high_rad), len(self.joint_names)}
        if len(lengths) != 1 or not all(a < b for a, b in zip(self.joint_low_rad, self.joint_high_rad, strict=True)):
            raise ValueError("joint_low_rad: expected one per joint, each below joint_high_rad")
        for name in ("max_speed_m_s", "max_turn_rad_s", "max_joint_speed_rad_s", "max_residual_sigma"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected more than 0, got {getattr(self, name)}")


def check_residual(residual: ArrayLike, limits: SafetyLimits) -> list[Violation]:
    """A residual (22,): no coordinate beyond ``max_residual_sigma``.

    Searches stay within +-4 sigma; policies may go further, and a broken one may go anywhere.
    """
    r = _vector(residual, "residual", grasp.DIM)
    z = r / grasp.SIGMA
    return [*_finite(z, grasp.NAMES), *_outside("residual", z, -limits.max_residual_sigma, limits.max_residual_sigma)]


def check_grasp(wished: ArrayLike, limits: SafetyLimits) -> list[Violation]:
    """A grasp (22,) as it would be commanded: grasp site in the box and above the table, fingers within range."""
    g = _vector(wished, "grasp", grasp.DIM)
    out = [*_finite(g, grasp.NAMES), *check_position(g[grasp.MU], limits)]
    low, high = grasp.LOW[grasp.FINGERS], grasp.HIGH[grasp.FINGERS]
    return out + _beyond("fingers", grasp.JOINT_NAMES, g[grasp.FINGERS], low, high, "rad")


def check_position(
    position_m: ArrayLike, limits: SafetyLimits, step: int = -1, slack_m: float = 0.0
) -> list[Violation]:
    """A position (3,) of the grasp site: inside the box, widened by ``slack_m`` except downwards, above the table."""
    p = _vector(position_m, "position_m", 3)
    low = np.array(limits.workspace_low_m) - [slack_m, slack_m, 0.0]
    high = np.array(limits.workspace_high_m) + slack_m
    out = _beyond("workspace", ("x", "y", "z"), p, low, high, "m", step)
    return out + _above_table("grasp site", float(p[2]), limits, step)


def check_pose(T_base_hand: ArrayLike, limits: SafetyLimits, step: int = -1, slack_m: float = 0.0) -> list[Violation]:
    """A pose (4, 4) of the hand at its grasp site: position, and every listed point of the hand above the table."""
    T = np.asarray(T_base_hand, dtype=np.float64)
    if T.shape != (4, 4):
        raise ValueError(f"T_base_hand: expected shape (4, 4), got {T.shape}")
    if not np.isfinite(T).all():
        return [Violation("not finite", "pose of the hand", float("nan"), 0.0, "m", step)]
    out = check_position(T[:3, 3], limits, step, slack_m)
    for i, point in enumerate(limits.hand_points_m):
        height = float(T[2, :3] @ np.array(point) + T[2, 3])
        out += _above_table(f"hand point {i}", height, limits, step)
    return out


def check_path(poses: ArrayLike, dt_s: float, limits: SafetyLimits, *, after_grasp: bool = False) -> list[Violation]:
    """A path (T, 4, 4) of the hand, ``dt_s`` apart: every pose, and the speed and turning rate of every step.

    Args:
        poses: (T, 4, 4) T_base_hand.
        dt_s: seconds between poses.
        limits: of the rig.
        after_grasp: the post-grasp trajectory may leave the box by ``path_margin_m``, as lifting does.
    """
    T = np.asarray(poses, dtype=np.float64)
    if T.ndim != 3 or T.shape[1:] != (4, 4) or not dt_s > 0:
        raise ValueError(f"poses, dt_s: expected (T, 4, 4) and more than 0, got {T.shape} and {dt_s}")
    slack = limits.path_margin_m if after_grasp else 0.0
    out = [v for i, pose in enumerate(T) for v in check_pose(pose, limits, i, slack)]
    if not np.isfinite(T).all():
        return out
    speed = np.linalg.norm(np.diff(T[:, :3, 3], axis=0), axis=1) / dt_s
    cosine = (np.einsum("tij,tij->t", T[1:, :3, :3], T[:-1, :3, :3]) - 1) / 2
    turn = np.arccos(np.clip(cosine, -1.0, 1.0)) / dt_s
    for rule, what, values, limit, unit in (
        ("speed", "grasp site", speed, limits.max_speed_m_s, "m/s"),
        ("turn", "hand", turn, limits.max_turn_rad_s, "rad/s"),
    ):
        for i in np.flatnonzero(values > limit * (1 + 1e-6)):
            out.append(Violation(rule, what, float(values[i]), limit, unit, int(i)))
    return out


def check_joints(joints_rad: ArrayLike, limits: SafetyLimits, dt_s: float | None = None) -> list[Violation]:
    """A joint path (T, J) or one pose (J,) of the arm: ranges, and speeds where ``dt_s`` is given."""
    q = np.atleast_2d(np.asarray(joints_rad, dtype=np.float64))
    if q.ndim != 2 or q.shape[1] != len(limits.joint_names):
        raise ValueError(f"joints_rad: expected (T, {len(limits.joint_names)}), got {np.shape(joints_rad)}")
    out: list[Violation] = []
    low, high = np.array(limits.joint_low_rad), np.array(limits.joint_high_rad)
    for i, row in enumerate(q):
        out += _finite(row, limits.joint_names, i) or _beyond("joint", limits.joint_names, row, low, high, "rad", i)
    if dt_s is not None and np.isfinite(q).all():
        if not dt_s > 0:
            raise ValueError(f"dt_s: expected more than 0, got {dt_s}")
        speed = np.abs(np.diff(q, axis=0)) / dt_s
        for i, j in np.argwhere(speed > limits.max_joint_speed_rad_s * (1 + 1e-6)):
            name = limits.joint_names[j]
            out.append(
                Violation("joint speed", name, float(speed[i, j]), limits.max_joint_speed_rad_s, "rad/s", int(i))
            )
    return out


def require(*checks: Sequence[Violation]) -> None:
    """Raises ``SafetyError`` with everything that any of the checks found, nothing if they found nothing."""
    found = [v for check in checks for v in check]
    if found:
        raise SafetyError(found)


class Watchdog:
    """Calls ``stop`` once if nobody feeds it for ``timeout_s``: a hung control loop must not leave an arm moving.

    Use it as a context manager around a motion and call ``feed`` from the control loop. ``stop`` runs in the
    watchdog's own thread. With ``poll`` it can be driven without one.
    """

    def __init__(
        self, timeout_s: float, stop: Callable[[], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Arms nothing yet.

        Raises:
            ValueError: if ``timeout_s`` is not positive.
        """
        if not timeout_s > 0:
            raise ValueError(f"timeout_s: expected more than 0, got {timeout_s}")
        self.timeout_s, self._stop, self._clock = timeout_s, stop, clock
        self._lock = threading.Lock()
        self._fed_s = clock()
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self.tripped = False

    def feed(self) -> None:
        """Says that the loop is alive.

        Raises:
            SafetyError: if it has tripped already: the loop must not go on as if nothing had happened.
        """
        with self._lock:
            if self.tripped:
                silent_s = self._clock() - self._fed_s
                raise SafetyError([Violation("watchdog", "silence of the control loop", silent_s, self.timeout_s, "s")])
            self._fed_s = self._clock()

    def poll(self) -> bool:
        """Trips if the time is over; returns whether it has tripped."""
        with self._lock:
            if self.tripped or self._clock() - self._fed_s <= self.timeout_s:
                return self.tripped
            self.tripped = True
        self._stop()
        return True

    def __enter__(self) -> Self:
        self.tripped, self._fed_s = False, self._clock()
        self._done.clear()
        self._thread = threading.Thread(target=self._run, name="safety-watchdog", daemon=True)
        self._thread.start()
        return self

    def _run(self) -> None:
        while not self._done.wait(self.timeout_s / 4) and not self.poll():
            pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()


def _vector(value: ArrayLike, name: str, dim: int) -> Array:
    out = np.asarray(value, dtype=np.float64)
    if out.shape != (dim,):
        raise ValueError(f"{name}: expected shape ({dim},), got {out.shape}")
    return out


def _finite(values: Array, names: Sequence[str], step: int = -1) -> list[Violation]:
    bad = np.flatnonzero(~np.isfinite(values))
    return [Violation("not finite", names[int(i)], float(values[i]), 0.0, "", step) for i in bad]


def _outside(rule: str, values: Array, low: float, high: float) -> list[Violation]:
    return _beyond(rule, grasp.NAMES, values, np.full(len(values), low), np.full(len(values), high), "sigma")


def _beyond(
    rule: str, names: Sequence[str], values: Array, low: Array, high: Array, unit: str, step: int = -1
) -> list[Violation]:
    out = []
    for name, value, lo, hi in zip(names, values.tolist(), low.tolist(), high.tolist(), strict=True):
        if value < lo - _FLOAT_TOL:
            out.append(Violation(rule, name, value, lo, unit, step))
        elif value > hi + _FLOAT_TOL:
            out.append(Violation(rule, name, value, hi, unit, step))
        elif not np.isfinite(value):
            out.append(Violation("not finite", name, value, hi, unit, step))
    return out


def _above_table(what: str, height_m: float, limits: SafetyLimits, step: int) -> list[Violation]:
    floor = limits.table_z_m + limits.table_margin_m
    # Written so that a height that is not a number fails too.
    return [] if height_m >= floor - _FLOAT_TOL else [Violation("table", what, height_m, floor, "m", step)]

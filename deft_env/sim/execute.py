"""Plays N episodes: native threads, no Python per world or per physics step.

Each world has its own compiled model (sizes, masses, friction and poses differ from episode to episode): all of one
layout, that is, compiled from the same builder with other numbers. Copying a model per world rather than overriding
fields of one is deliberate: compilation derives inertias, bounding volumes and more from what was changed, and costs
about 1 ms.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import mujoco
import numpy as np
from mujoco import batch
from numpy.typing import ArrayLike, NDArray

from deft_env.sim import breaks, names
from deft_env.tasks.task import Breakable

Array = NDArray[np.float64]
_RECORD_BYTES: Final = 32_000_000
"""Memory of a record, kept by each thread that plays: decides how many ticks are played between two returns to Python,
each of which loads every world anew (12 microseconds). Enough for 64 whole episodes at once."""
_local: Final = threading.local()
Tick = Callable[[batch.Batch, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Playback:
    """What was recorded.

    Attributes:
        series: (N, T, D) all sensors at the end of each control tick.
        slices: where each sensor's numbers stand in the last axis, by name.
        strike_n: (N,) greatest force between table and hand or arm at any physics step, N.
        faulted: (N,) whether the physics became unstable; such a world says nothing about its grasp.
        reason: N texts, empty where not faulted.
        final_qpos: (N, nq) state at the end.
        film_qpos: (N, F, nq) states to be drawn afterwards, every ``film_every`` ticks; F = 0 if none were wanted.
    """

    series: Array
    slices: dict[str, slice]
    strike_n: Array
    faulted: NDArray[np.bool_]
    reason: tuple[str, ...]
    final_qpos: Array
    film_qpos: Array

    @property
    def sensors(self) -> dict[str, Array]:
        """Views by name (N, T, dim)."""
        return {name: self.series[:, :, part] for name, part in self.slices.items()}

    def world(self, i: int) -> dict[str, Array]:
        """Series of world ``i`` by name (T, dim): views of a copy, so that the other worlds need not be kept."""
        own = self.series[i].copy()
        return {name: own[:, part] for name, part in self.slices.items()}


def threads_available() -> int:
    """CPUs that this process may use; ``DEFT_THREADS`` overrides it."""
    wanted = os.environ.get("DEFT_THREADS", "")
    if wanted:
        if not wanted.isdigit() or int(wanted) < 1:
            raise ValueError(f"DEFT_THREADS: expected a positive whole number, got {wanted!r}")
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def sensor_slices(model: mujoco.MjModel) -> dict[str, slice]:
    """Where each sensor's numbers stand in ``sensordata``, by name."""
    out = {}
    for i in range(model.nsensor):
        sensor = model.sensor(i)
        start = int(sensor.adr[0])
        out[sensor.name] = slice(start, start + int(sensor.dim[0]))
    return out


def robot_qpos(model: mujoco.MjModel, qpos: ArrayLike, arm_rad: ArrayLike, hand_rad: ArrayLike) -> Array:
    """Copies ``qpos`` (nq,) and writes arm (6,) and hand (16,) angles, rad, into it, by name."""
    out = np.array(qpos, dtype=np.float64)
    for joints, values in ((names.ARM_JOINTS, arm_rad), (names.HAND_JOINTS, hand_rad)):
        addresses = [int(model.joint(name).qposadr[0]) for name in joints]
        out[addresses] = values
    return out


def _strike(record: Array, slices: dict[str, slice]) -> Array:
    """Greatest table force (N,) in a record (N, steps, nsensordata)."""
    worst = np.zeros(len(record))
    for name in names.STRIKE_SENSORS:
        data = record[:, :, slices[name]]
        for i in np.flatnonzero((data[:, :, 0] != 0.0).any(axis=1)):  # few: most episodes never touch the table
            force = data[i, :, 1:4]
            square = force[:, 0] ** 2 + force[:, 1] ** 2 + force[:, 2] ** 2
            worst[i] = np.maximum(worst[i], np.sqrt(square.max()))
    return worst


def play(
    models: mujoco.MjModel | Sequence[mujoco.MjModel],
    qpos: ArrayLike,
    controls: ArrayLike,
    *,
    substeps: int,
    film_every: int = 0,
    threads: int = 0,
    tick: Tick | None = None,
    breakables: Sequence[Breakable] = (),
) -> Playback:
    """Steps N worlds through their controls.

    The result of a world depends on nothing but its model, state and controls: not on N, its place or ``threads``.

    Args:
        models: one model for all, or N of one layout.
        qpos: (N, nq) initial joint positions; velocities start at zero.
        controls: (N, T, nu) set points, one row a control tick.
        substeps: physics steps in a control tick (``PhysicsOptions.substeps``).
        film_every: keep the state every so many ticks; 0 keeps none.
        threads: native threads; 0 takes what is available.
        tick: called as ``tick(batch, index)`` after every control tick, for what physics lacks (a stem that breaks);
            must be vectorised over worlds. Slow: each return to Python loads every world anew.
        breakables: constraints that break when they are stretched.

    Raises:
        ValueError: if sizes do not fit, or both ``tick`` and ``breakables`` are given.
    """
    qpos, controls = np.asarray(qpos, dtype=np.float64), np.asarray(controls, dtype=np.float64)
    first = models if isinstance(models, mujoco.MjModel) else models[0]
    n, ticks = controls.shape[:2]
    if qpos.shape != (n, first.nq) or controls.shape != (n, ticks, first.nu):
        raise ValueError(
            f"qpos, controls: expected ({n}, {first.nq}) and ({n}, T, {first.nu}) for this model, "
            f"got {qpos.shape} and {controls.shape}"
        )
    if not isinstance(models, mujoco.MjModel) and len(models) != n:
        raise ValueError(f"models: expected one for all or {n}, got {len(models)}")
    slices = sensor_slices(first)
    if tick is not None and breakables:
        raise ValueError("tick, breakables: expected one of them at most")
    worlds = batch.Batch(first, n, min(n, threads or threads_available()))
    if not isinstance(models, mujoco.MjModel):
        worlds.set_models(models)
    worlds.qpos = qpos

    log = _Log(n, ticks, substeps, slices, film_every, qpos)
    widths = {"sensordata": first.nsensordata} | ({"qpos": first.nq} if film_every else {})
    if breakables:
        addresses = breaks.Addresses.of(first, breakables)
        faulted = breaks.March(worlds, controls, substeps, addresses, widths, log.keep).run()
    else:
        faulted = _straight(worlds, controls, substeps, widths, log, tick)
    series, strike = log.series, log.strike_n
    final = worlds.qpos.copy()
    counts = worlds.warning[:, :, 1]
    faulted |= (counts > 0).any(axis=1) | ~np.isfinite(final).all(axis=1) | ~np.isfinite(series).all(axis=(1, 2))
    reasons = tuple(_reason(counts[i]) if faulted[i] else "" for i in range(n))
    return Playback(
        series=series,
        slices=slices,
        strike_n=np.where(np.isfinite(strike), strike, np.inf),
        faulted=faulted,
        reason=reasons,
        final_qpos=final,
        film_qpos=log.film,
    )


class _Log:
    """What is kept of the physics steps, filled from records of some worlds and some ticks at a time."""

    def __init__(
        self, n: int, ticks: int, substeps: int, slices: dict[str, slice], film_every: int, qpos: Array
    ) -> None:
        self._substeps, self._slices, self._film_every = substeps, slices, film_every
        self.series = np.empty((n, ticks, max(part.stop for part in slices.values())))
        self.strike_n = np.zeros(n)
        self.film = np.empty((n, 1 + ticks // film_every if film_every else 0, qpos.shape[1]))
        self.film[:, :1] = qpos[:, None]

    def all(self, start: int, end: int, record: dict[Any, Array]) -> None:
        """Takes the ticks from ``start`` to before ``end`` of all worlds."""
        sub, data = self._substeps, record["sensordata"]
        self.series[:, start:end] = data[:, sub - 1 :: sub]
        self.strike_n = np.maximum(self.strike_n, _strike(data, self._slices))
        if self._film_every:
            states = record["qpos"][:, sub - 1 :: sub]
            for t in range(start, end):
                if (t + 1) % self._film_every == 0:
                    self.film[:, (t + 1) // self._film_every] = states[:, t - start]

    def keep(
        self, ids: NDArray[np.intp], start: NDArray[np.intp], played: NDArray[np.intp], record: dict[Any, Array]
    ) -> None:
        """Takes ``played`` ticks from ``start`` on of the worlds ``ids``: see ``breaks.Keep``."""
        sub, data = self._substeps, record["sensordata"]
        row, ahead = np.nonzero(np.arange(data.shape[1] // sub) < played[:, None])
        self.series[ids[row], start[row] + ahead] = data[row, (ahead + 1) * sub - 1]
        for part in np.flatnonzero(played * sub < data.shape[1]):
            data[part, played[part] * sub :] = 0.0  # steps that will not have been
        self.strike_n[ids] = np.maximum(self.strike_n[ids], _strike(data, self._slices))
        if self._film_every:
            tick = start[row] + ahead + 1
            shown = tick % self._film_every == 0
            row, ahead, tick = row[shown], ahead[shown], tick[shown]
            self.film[ids[row], tick // self._film_every] = record["qpos"][row, (ahead + 1) * sub - 1]


def _room(name: str, size: int) -> Array:
    """An array that is kept for this thread's next batch: fresh memory costs more than writing to it does."""
    kept: dict[str, Array] = _local.__dict__.setdefault("room", {})
    if name not in kept or len(kept[name]) < size:
        kept[name] = np.empty(size)
    return kept[name]


def _straight(
    worlds: batch.Batch, controls: Array, substeps: int, widths: dict[str, int], log: _Log, tick: Tick | None
) -> NDArray[np.bool_]:
    """Plays all worlds side by side; returns (N,) which failed with an error."""
    n, ticks = controls.shape[:2]
    faulted = np.zeros(n, dtype=bool)
    row_bytes = 8 * n * substeps * (sum(widths.values()) + controls.shape[2])
    chunk = 1 if tick else min(ticks, max(1, _RECORD_BYTES // row_bytes))
    room = {name: _room(name, n * chunk * substeps * width) for name, width in widths.items()}
    for start in range(0, ticks, chunk):
        end = min(start + chunk, ticks)
        steps = (end - start) * substeps
        record: dict[Any, Array] = {
            name: room[name][: n * steps * width].reshape(n, steps, width) for name, width in widths.items()
        }
        try:
            worlds.rollout(steps, np.repeat(controls[:, start:end], substeps, axis=1), record=tuple(record), out=record)
        except batch.SimulationError as error:  # the other worlds ran to the end and are recorded
            faulted[error.ids] = True
            for array in record.values():
                array[error.ids] = 0.0
        log.all(start, end, record)
        if tick is not None:
            tick(worlds, start)
    return faulted


def _reason(counts: Any) -> str:
    kinds = [w.name.removeprefix("mjWARN_") for w in mujoco.mjtWarning.__members__.values() if w.name != "mjNWARNING"]
    raised = [kind for kind, count in zip(kinds, counts, strict=False) if count > 0]
    return f"unstable physics: {', '.join(raised) or 'a value that is not finite'}"

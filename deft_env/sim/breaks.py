"""Constraints that break when they are stretched: what breaks, and how worlds are played to that tick and no further.

A stem that breaks changes a world between two ticks. Returning to Python after every tick to look costs a quarter of an
episode (each return makes the threads load every world anew). So worlds are played several ticks ahead, their states
recorded; one in which something broke is put back to the tick at which it broke, and goes on from there without that
constraint. Each world's results are those of looking after every tick, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import mujoco
import numpy as np
from mujoco import batch
from numpy.typing import NDArray

from deft_env.tasks.task import Breakable

Array = NDArray[np.float64]
AHEAD_TICKS: Final = 8
"""Ticks played before looking: more of them waste more when something breaks (least cost in Pick Grape)."""
_STATE: Final = int(mujoco.mjtState.mjSTATE_INTEGRATION.value)


@dataclass(frozen=True, slots=True, eq=False)
class Addresses:
    """Where the breakables of a model stand.

    Attributes:
        columns: (B, 3) their sensors' columns in ``sensordata``.
        equalities: (B,) their numbers.
        limits_m: (B,).
    """

    columns: NDArray[np.intp]
    equalities: NDArray[np.intp]
    limits_m: Array

    @classmethod
    def of(cls, model: mujoco.MjModel, breakables: Sequence[Breakable]) -> Addresses:
        """Looks the names up.

        Raises:
            ValueError: for a sensor that has not three numbers.
        """
        for breakable in breakables:
            if model.sensor(breakable.sensor).dim[0] != 3:
                raise ValueError(f"breakable {breakable.equality!r}: sensor {breakable.sensor!r} must have 3 numbers")
        return cls(
            np.array([int(model.sensor(b.sensor).adr[0]) + np.arange(3) for b in breakables]),
            np.array([int(model.equality(b.equality).id) for b in breakables]),
            np.array([b.limit_m for b in breakables]),
        )

    def torn(self, sensordata: Array) -> NDArray[np.bool_]:
        """(…, B) which are stretched too far, of ``sensordata`` (…, nsensordata)."""
        x, y, z = (sensordata[..., self.columns[:, i]] for i in range(3))
        return np.asarray(x * x + y * y + z * z > self.limits_m**2)


def tick(model: mujoco.MjModel, breakables: Sequence[Breakable]) -> Callable[[batch.Batch, int], None]:
    """What ``Task.tick`` returns for breakables: looks after every tick. For rigs that do not play ahead."""
    where = Addresses.of(model, breakables)

    def look(worlds: batch.Batch, index: int) -> None:
        torn = where.torn(worlds.sensordata)
        if torn.any():
            active = np.array(worlds.eq_active)
            active[:, where.equalities] = np.where(torn, 0.0, active[:, where.equalities])
            worlds.eq_active = active

    return look


Keep = Callable[[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], dict[Any, Any]], None]
"""Called with worlds (m,), each one's first tick and number of ticks, and a record (m, steps, width) of more."""


class March:
    """Plays worlds to their end, each at its own pace."""

    def __init__(
        self,
        worlds: batch.Batch,
        controls: Array,
        substeps: int,
        addresses: Addresses,
        record: Mapping[str, int],
        keep: Keep,
    ) -> None:
        """Begins at the worlds' present states.

        Args:
            worlds: N worlds.
            controls: (N, T, nu).
            substeps: physics steps in a tick.
            addresses: what breaks.
            record: fields that ``keep`` wants and their widths, among them ``sensordata``.
            keep: takes what was played for good.
        """
        self._worlds, self._controls, self._substeps = worlds, controls, substeps
        self._addresses, self._keep = addresses, keep
        self._widths: dict[Any, int] = {**record, _STATE: worlds.nstate}
        steps = len(controls) * AHEAD_TICKS * substeps
        self._room = {name: np.empty(steps * width) for name, width in self._widths.items()}
        self._done = np.zeros(len(controls), dtype=np.intp)
        self._careful = np.zeros(len(controls), dtype=bool)
        self.faulted = np.zeros(len(controls), dtype=bool)

    def run(self) -> NDArray[np.bool_]:
        """Plays all; returns (N,) which failed with an error."""
        ticks = self._controls.shape[1]
        while (left := ticks - self._done).any():
            ahead = np.minimum(left, np.where(self._careful, 1, AHEAD_TICKS))
            for k in np.unique(ahead[ahead > 0]):
                self._advance(np.flatnonzero(ahead == k), int(k))
        return self.faulted

    def _advance(self, ids: NDArray[np.intp], k: int) -> None:
        """Plays ``ids`` up to ``k`` ticks further: to the first at which something breaks."""
        worlds, sub, where = self._worlds, self._substeps, self._addresses
        states, warnings = worlds.state[ids], worlds.warning[ids]
        start = self._done[ids]
        held = np.repeat(self._controls[ids[:, None], start[:, None] + np.arange(k)], sub, axis=1)
        m = len(ids)
        out = {
            name: self._room[name][: m * k * sub * width].reshape(m, k * sub, width)
            for name, width in self._widths.items()
        }
        failed = np.zeros(m, dtype=bool)
        try:
            worlds.rollout(k * sub, held, record=tuple(out), out=out, ids=ids)
        except batch.SimulationError as error:  # the other worlds went on and are recorded
            failed = np.isin(ids, error.ids)
        active = worlds.eq_active[ids][:, where.equalities] != 0.0
        torn = where.torn(out["sensordata"][:, sub - 1 :: sub]) & active[:, None]
        broke = torn.any(axis=2)
        played = np.where(broke.any(axis=1), np.argmax(broke, axis=1) + 1, k)
        # A warning or an error may belong to ticks that will not have been: look again tick by tick.
        doubtful = (failed | ((worlds.warning[ids] != warnings).any(axis=(1, 2)) & (played < k))) & (k > 1)
        lost = failed & ~doubtful
        played[doubtful] = 0
        for row in np.flatnonzero(played < k):
            worlds.state[ids[row]] = out[_STATE][row, played[row] * sub - 1] if played[row] else states[row]
        worlds.warning[ids[doubtful]] = warnings[doubtful]
        self._careful[ids[doubtful]] = True
        for row in np.flatnonzero(broke.any(axis=1) & ~doubtful & ~lost):
            worlds.eq_active[ids[row], where.equalities[torn[row, played[row] - 1]]] = 0.0
        self.faulted[ids[lost]] = True
        self._done[ids] += played
        self._done[ids[lost]] = self._controls.shape[1]
        kept = (played > 0) & ~lost
        self._keep(ids, start, np.where(kept, played, 0), out)

"""What shall go wrong, and when: by world step or by command, written down or drawn from a seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np

Kind = Literal[
    "collision", "error", "warning", "estop", "cut", "silent", "late", "truncated", "stray_id", "stray_protocol"
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
_ON_STEP: Final = ("collision", "error", "warning", "estop", "cut")
_CODED: Final = ("error", "warning")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, once.

    Attributes:
        kind: ``collision`` (controller error 31), ``error`` or ``warning`` with ``code``, ``estop`` (the button is
            pressed and stays so until released), ``cut`` (all TCP connections close), ``silent`` (``count`` commands
            get no answer), ``late`` (answers come ``delay_s`` too late), ``truncated`` (answers lose their end),
            ``stray_id`` and ``stray_protocol`` (answers with a wrong header).
        step: happens at this world step (1 is the first that the arm spends moving); kinds of the arm and ``cut`` only.
        command: happens at this command (1 is the first that matches ``register``).
        register: which commands count and are hit; None for all.
        count: how many commands in a row are hit; 0 for all that follow.
        code: the controller's error or warning.
        delay_s: of ``late``, wall time.
    """

    kind: Kind
    step: int | None = None
    command: int | None = None
    register: int | None = None
    count: int = 1
    code: int = 0
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: one of {', '.join(KINDS)} expected, got {self.kind!r}")
        if (self.step is None) == (self.command is None):
            raise ValueError(f"{self.kind}: give either step or command, got step={self.step}, command={self.command}")
        if self.step is not None and self.kind not in _ON_STEP:
            raise ValueError(f"{self.kind}: happens to a command; give command, not step={self.step}")
        if (
            0 in (self.step, self.command)
            or min(self.step or 1, self.command or 1) < 1
            or self.count < 0
            or self.delay_s < 0
        ):
            raise ValueError(f"{self}: step and command count from 1, count and delay_s are not negative")
        if (self.kind in _CODED) != (self.code != 0):
            raise ValueError(f"{self.kind}: code belongs to kinds {_CODED} and only there, got {self.code}")


def random_faults(seed: int, steps: int, rates: Mapping[Kind, float], *, code: int = 10) -> tuple[Fault, ...]:
    """Faults that hit each of ``steps`` world steps (arm kinds) or commands (others) with the given probabilities.

    Args:
        seed: the same seed draws the same faults.
        steps: over how many steps or commands.
        rates: kind -> probability a step.
        code: what ``error`` and ``warning`` report.
    """
    out: list[Fault] = []
    for i, kind in enumerate(KINDS):  # in a fixed order, each kind with draws of its own
        rng = np.random.default_rng([seed, i])
        hits = np.flatnonzero(rng.random(steps) < rates.get(kind, 0.0)) + 1
        for at in hits.tolist():
            step, command = (at, None) if kind in _ON_STEP else (None, at)
            number = code if kind in _CODED else 0
            out.append(Fault(kind, step, command, code=number, delay_s=0.05 if kind == "late" else 0.0))
    return tuple(out)


class FaultPlan:
    """Keeps count and says what is due."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        """A plan of ``faults``; more can be added at any time."""
        self._faults = list(faults)
        self._step = 0
        self._seen: dict[int, int] = {}

    @property
    def pending(self) -> bool:
        """Whether a fault is still to come."""
        return bool(self._faults)

    def add(self, fault: Fault) -> None:
        """Adds a fault; its ``step`` or ``command`` counts from now."""
        if fault.step is not None:
            fault = Fault(fault.kind, step=self._step + fault.step, code=fault.code)
        self._faults.append(fault)

    def on_step(self) -> list[Fault]:
        """The faults of the next world step; each is returned once."""
        self._step += 1
        due = [f for f in self._faults if f.step == self._step]
        self._faults = [f for f in self._faults if f.step != self._step]
        return due

    def on_command(self, register: int) -> list[Fault]:
        """The faults of the next command, which goes to ``register``."""
        due, rest = [], []
        for fault in self._faults:
            if fault.command is None or fault.register not in (None, register):
                rest.append(fault)
                continue
            seen = self._seen[id(fault)] = self._seen.get(id(fault), 0) + 1
            if seen >= fault.command:
                due.append(fault)
            if seen < fault.command or fault.count == 0 or seen < fault.command + fault.count - 1:
                rest.append(fault)
            else:
                del self._seen[id(fault)]
        self._faults = rest
        return due

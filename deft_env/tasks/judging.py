"""Words of judges over sensor series: touched, held, lifted; functions of signals alone."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Signals = Mapping[str, Array]
Mask = NDArray[np.bool_]

PHASES: Final = ("settle_in", "approach", "close", "hold", "trajectory", "settle")
"""What the series ``phase`` counts: the parts of an episode, in order."""
END_TICKS: Final = 15
"""The last 0.3 s of an episode: "to the end" means all of it (our choice)."""
CLEAR_M: Final = 0.01
"""A thing has left the table when it is this far above where it stood (our choice)."""


P = ParamSpec("P")


class Remembering(dict[str, Array]):
    """Signals of one episode that are asked the same again and again, by success, score and sub-goals.

    Words such as ``held`` are worked out once and are read-only. Judges need not know: a plain mapping does as well.
    The signals must not change while this is in use.
    """

    def __init__(self, signals: Signals) -> None:
        """Nothing is remembered yet."""
        super().__init__(signals)
        self.words: dict[Hashable, Mask] = {}


def _remembered(word: Callable[Concatenate[Signals, P], Mask]) -> Callable[Concatenate[Signals, P], Mask]:
    @wraps(word)
    def asked(signals: Signals, *args: P.args, **keywords: P.kwargs) -> Mask:
        if not isinstance(signals, Remembering):
            return word(signals, *args, **keywords)
        key: Any = (word.__name__, *args, *keywords.values())
        known = signals.words.get(key)
        if known is None:
            known = signals.words[key] = word(signals, *args, **keywords)
            known.flags.writeable = False
        return known

    return asked


@_remembered
def touching(signals: Signals, digit: str) -> Mask:
    """(T,) whether a digit touches the object."""
    return np.asarray(signals[f"grip/{digit}"][:, 0] > 0)


def touched(signals: Signals) -> bool:
    """Whether any digit or the palm ever touched the object."""
    return any(bool(touching(signals, digit).any()) for digit in ("index", "middle", "ring", "thumb", "palm"))


@_remembered
def held(signals: Signals) -> Mask:
    """(T,) whether the object is between opposing parts of the hand: a finger, and the thumb or the palm."""
    index, middle, ring = (touching(signals, digit) for digit in ("index", "middle", "ring"))
    return np.asarray((index | middle | ring) & (touching(signals, "thumb") | touching(signals, "palm")))


@_remembered
def phase(signals: Signals, name: str) -> Mask:
    """(T,) ticks of a phase, one of ``PHASES``."""
    return np.asarray(signals["phase"][:, 0] == PHASES.index(name))


def late_trajectory(signals: Signals) -> NDArray[np.intp]:
    """Indices of the second half of the trajectory."""
    ticks = np.flatnonzero(phase(signals, "trajectory"))
    return np.asarray(ticks[ticks.size // 2 :])


def held_at_start(signals: Signals) -> bool:
    """Whether the object is held when the trajectory begins."""
    ticks = np.flatnonzero(phase(signals, "trajectory"))
    return bool(held(signals)[max(0, ticks[0] - 3) : ticks[0] + 1].any()) if ticks.size else False


def held_at_end(signals: Signals) -> bool:
    """Whether the object is held through the last ``END_TICKS``, but for ticks in which a soft contact blinks."""
    return bool(held(signals)[-END_TICKS:].mean() >= 0.8)


def rise_m(signals: Signals, body: str) -> Array:
    """(T,) height of a body over where it was at the first tick, m."""
    z = signals[f"{body}/position"][:, 2]
    return np.asarray(z - z[0])


def off_table(signals: Signals, body: str) -> Mask:
    """(T,) whether a body touches the table nowhere."""
    return np.asarray(signals[f"{body}/table"][:, 0] == 0)


def fraction(value: float, full: float) -> float:
    """``value / full`` clipped to [0, 1]."""
    return float(np.clip(value / full, 0.0, 1.0))

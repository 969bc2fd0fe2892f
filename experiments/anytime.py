"""A test that may be looked at after every seed: betting against equality.

Whoever bets a share of a unit of capital, seed by seed, on "A is better" cannot expect to gain if A is not better; so
capital of 1/alpha is reached with probability alpha at most, at whatever moment one looks (Ville's inequality). The
capital is averaged over a fixed set of stakes, and the means that nobody could win against form an interval that holds
at all times together (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", 2023; the
mixture over stakes is our choice).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
STAKES: Final = np.concatenate([np.geomspace(0.02, 0.5, 8), np.linspace(0.6, 0.98, 6)])
"""Shares of the capital that are bet, each held throughout."""
LARGEST_LOG: Final = 700.0
"""Capital is not counted beyond e^700, near the largest floating-point number."""
GRID_STEP: Final = 0.005
ALPHA: Final = 0.05
MARGIN: Final = 0.05
Verdict = Literal["A", "B", "same", "open"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What the differences seen so far say.

    Attributes:
        verdict: ``A`` or ``B`` is better, ``same`` (no difference beyond the margin), or ``open``.
        seeds: differences seen.
        mean: their mean.
        low, high: interval of the true mean that holds at all times together.
        evidence_a, evidence_b: largest capital so far of those who bet on A, on B; the decision is at 2 / alpha.
    """

    verdict: Verdict
    seeds: int
    mean: float
    low: float
    high: float
    evidence_a: float
    evidence_b: float


def capital(differences: ArrayLike, mean: float = 0.0) -> tuple[Array, Array]:
    """Capital after each difference of those who bet on a true mean above ``mean``, and of those who bet below it.

    Args:
        differences: (n,) numbers in [-1, 1].
        mean: in (-1, 1).

    Returns:
        Two arrays (n,): each has expectation at most 1, at any stopping time, unless its bettors are right.
    """
    x = np.asarray(differences, dtype=np.float64)
    if x.ndim != 1 or not np.isfinite(x).all() or (np.abs(x) > 1.0).any():
        raise ValueError(f"differences: expected numbers in [-1, 1] in one row, got shape {x.shape}")
    if not -1.0 < mean < 1.0:
        raise ValueError(f"mean: expected a number between -1 and 1, got {mean!r}")

    def grow(gains: Array) -> Array:
        logs = np.cumsum(np.log1p(STAKES * gains[:, None]), axis=0)
        mean_log = np.logaddexp.reduce(logs, axis=1) - np.log(len(STAKES))
        out: Array = np.exp(np.minimum(mean_log, LARGEST_LOG))
        return out

    # The worst loss is scaled to one stake, so that nobody goes into debt.
    return grow((x - mean) / (1.0 + mean)), grow((mean - x) / (1.0 - mean))


def decide(differences: ArrayLike, *, alpha: float = ALPHA, margin: float = MARGIN) -> Decision:
    """Decides, as far as the differences go; looking at every prefix is allowed.

    Args:
        differences: (n,) A − B by seed, in [-1, 1].
        alpha: probability of ever deciding wrongly.
        margin: differences up to this are called the same.
    """
    x = np.asarray(differences, dtype=np.float64)
    if not len(x):
        return Decision("open", 0, 0.0, -1.0, 1.0, 1.0, 1.0)
    means = np.arange(-1.0 + GRID_STEP, 1.0, GRID_STEP)
    bound = 2.0 / alpha
    above, below = zip(*(capital(x, float(m)) for m in means), strict=True)
    out = (np.max(above, axis=1) >= bound) | (np.max(below, axis=1) >= bound)
    held = means[~out]
    # The step of the grid is added on both sides: a mean between two refuted ones need not be refuted.
    low = max(-1.0, float(held.min()) - GRID_STEP) if len(held) else float(x.mean())
    high = min(1.0, float(held.max()) + GRID_STEP) if len(held) else float(x.mean())
    a, b = (float(c.max()) for c in capital(x))
    verdict: Verdict = "open"
    if a >= bound and a >= b:
        verdict = "A"
    elif b >= bound:
        verdict = "B"
    elif low >= -margin and high <= margin:
        verdict = "same"
    return Decision(verdict, len(x), float(x.mean()), low, high, a, b)

"""Small statistics on NumPy and SciPy, with explicit generators.

For a learned agent the unit is the run, not the trial: trials of one frozen policy are a cluster. So intervals over
seeds (bootstrap or t) are for learned agents, and Wilson's interval for fixed policies on independent scenes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
CONFIDENCE: Final = 0.95
RESAMPLES: Final = 2000


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate between two bounds.

    Attributes:
        estimate: point estimate.
        low: lower bound.
        high: upper bound.
    """

    estimate: float
    low: float
    high: float


def _values(values: ArrayLike, name: str, least: int = 1) -> Array:
    out = np.asarray(values, dtype=np.float64)
    if out.ndim != 1 or len(out) < least or not np.isfinite(out).all():
        raise ValueError(f"{name}: expected at least {least} finite number(s) in one row, got shape {out.shape}")
    return out


def _level(confidence: float) -> float:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence!r}")
    return confidence


def wilson(successes: int, trials: int, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's score interval of a proportion; for independent trials only.

    Raises:
        ValueError: unless 0 <= successes <= trials and trials >= 1.
    """
    from scipy.stats import norm

    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(
            f"successes, trials: expected 0 <= successes <= trials and trials >= 1, got {successes}/{trials}"
        )
    z = float(norm.ppf(0.5 + _level(confidence) / 2))
    p, n = successes / trials, trials
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Interval(p, max(0.0, float(centre - half)), min(1.0, float(centre + half)))


def t_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Student's interval of the mean over seeds; the bounds are infinite for a single value."""
    from scipy.stats import t

    x = _values(values, "values")
    mean = float(x.mean())
    if len(x) == 1:
        return Interval(mean, -np.inf, np.inf)
    half = float(t.ppf(0.5 + _level(confidence) / 2, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x)))
    return Interval(mean, mean - half, mean + half)


def over_seeds(rates: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Interval of a success rate of learned agents: Student's over seeds, held within [0, 1].

    Where all seeds agree Student's interval would be a point; then each seed counts as one trial of Wilson's interval,
    which is wide enough for any spread between seeds. A single seed gives [0, 1]: it says nothing of the next one.

    Raises:
        ValueError: for rates outside [0, 1].
    """
    x = _values(rates, "rates")
    if x.min() < 0.0 or x.max() > 1.0:
        raise ValueError(f"rates: expected numbers in [0, 1], got {x.min():g} … {x.max():g}")
    if len(x) > 1 and np.ptp(x) == 0.0:
        edges = [wilson(k, len(x), confidence) for k in (int(np.floor(x[0] * len(x))), int(np.ceil(x[0] * len(x))))]
        return Interval(float(x[0]), edges[0].low, edges[1].high)
    found = t_interval(x, confidence)
    return Interval(found.estimate, max(0.0, found.low), min(1.0, found.high))


def bootstrap(
    values: ArrayLike,
    generator: np.random.Generator,
    *,
    statistic: Callable[[Array], Array] | None = None,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Percentile bootstrap over seeds.

    Args:
        values: (n,) one number a seed, or (n, d) one row a seed (rows stay together: paired).
        generator: source of the resamples.
        statistic: maps (resamples, n, …) to (resamples,) along axis 1; by default the mean of everything in it.
        resamples: number of resamples.
        confidence: level of the interval.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim == 0 or len(x) < 1 or not np.isfinite(x).all():
        raise ValueError(f"values: expected finite numbers, one row a seed, got shape {x.shape}")
    of = statistic or _mean
    drawn = of(x[generator.integers(len(x), size=(resamples, len(x)))])
    return _percentiles(float(of(x[None])[0]), drawn, confidence)


def stratified_bootstrap(
    strata: Sequence[ArrayLike],
    generator: np.random.Generator,
    *,
    statistic: Callable[[Array], Array] | None = None,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Percentile bootstrap of a mean over strata (tasks), seeds resampled within each stratum.

    ``statistic`` maps (resamples, n) to (resamples,) for one stratum (by default the mean); strata weigh the same.
    """
    rows = [_values(s, f"strata[{i}]") for i, s in enumerate(strata)]
    if not rows:
        raise ValueError("strata: expected at least one")
    of = statistic or _mean
    drawn = np.mean([of(x[generator.integers(len(x), size=(resamples, len(x)))]) for x in rows], axis=0)
    return _percentiles(float(np.mean([of(x[None])[0] for x in rows])), drawn, confidence)


def _mean(x: Array) -> Array:
    out: Array = x.reshape(len(x), -1).mean(axis=1)
    return out


def _percentiles(estimate: float, drawn: Array, confidence: float) -> Interval:
    tail = 50.0 * (1.0 - _level(confidence))
    low, high = np.percentile(drawn, [tail, 100.0 - tail])
    return Interval(estimate, float(low), float(high))


def fisher(successes_a: int, trials_a: int, successes_b: int, trials_b: int) -> float:
    """Two-sided p of Fisher's exact test that two proportions are equal; for independent trials only."""
    from scipy.stats import fisher_exact

    for name, s, n in (("a", successes_a, trials_a), ("b", successes_b, trials_b)):
        if n < 1 or not 0 <= s <= n:
            raise ValueError(f"{name}: expected 0 <= successes <= trials and trials >= 1, got {s}/{n}")
    table = [[successes_a, trials_a - successes_a], [successes_b, trials_b - successes_b]]
    return float(fisher_exact(table)[1])


@dataclass(frozen=True, slots=True)
class Paired:
    """A paired comparison A − B over seeds.

    Attributes:
        difference: mean difference with its t interval.
        p: two-sided p of the paired t test; 1 if all differences are zero.
        improved: share of seeds in which A is better, ties counting half.
        variance_saved: 1 − variance of the difference over that of unpaired samples; negative if pairing hurt.
    """

    difference: Interval
    p: float
    improved: float
    variance_saved: float


def paired(a: ArrayLike, b: ArrayLike, confidence: float = CONFIDENCE) -> Paired:
    """Compares two methods on the same seeds.

    Raises:
        ValueError: unless both have the same two or more seeds.
    """
    from scipy.stats import t

    x, y = _values(a, "a", 2), _values(b, "b", 2)
    if x.shape != y.shape:
        raise ValueError(f"a, b: expected the same seeds, got {len(x)} and {len(y)}")
    d = x - y
    spread = float(d.std(ddof=1))
    if spread == 0.0:
        p = 1.0 if d[0] == 0.0 else 0.0
    else:
        p = float(2 * t.sf(abs(d.mean()) / (spread / np.sqrt(len(d))), len(d) - 1))
    apart = float(x.var(ddof=1) + y.var(ddof=1))
    saved = 1.0 - spread**2 / apart if apart > 0 else 0.0
    improved = float(np.mean((d > 0) + 0.5 * (d == 0)))
    return Paired(t_interval(d, confidence), p, improved, saved)


def beta_binomial_p(rates: ArrayLike, trials: int, k: int, paper_trials: int = 10) -> float:
    """Two-sided probability of the paper's ``k`` out of ``paper_trials`` under our distribution over seeds.

    The paper shows one run of ten trials. A beta distribution is fitted to our per-seed success rates by moments (the
    binomial noise of ``trials`` trials taken off); the result is the probability of all counts that are no more likely
    than ``k``.

    Args:
        rates: (n,) success rate of each seed.
        trials: evaluation trials behind each rate.
        k: successes that the paper reports.
        paper_trials: trials that it reports them of.
    """
    from scipy.stats import betabinom, binom

    x = _values(rates, "rates")
    if not 0 <= k <= paper_trials or trials < 1 or (x < 0).any() or (x > 1).any():
        raise ValueError(f"rates, trials, k: expected rates in [0, 1] and 0 <= k <= {paper_trials}, got k={k}")
    # Half a success and half a failure more: a rate of exactly 0 or 1 would call every other count impossible.
    mean = (x.sum() * trials + 0.5) / (len(x) * trials + 1.0)
    counts = np.arange(paper_trials + 1)
    noise = mean * (1 - mean)
    observed = float(x.var(ddof=1)) if len(x) > 1 else 0.0
    between = max((observed - noise / trials) / (1 - 1 / trials) if trials > 1 else 0.0, 0.0)
    if between <= 1e-9 * noise:
        mass = binom.pmf(counts, paper_trials, mean)
    else:
        strength = max(noise / min(between, 0.999 * noise) - 1.0, 1e-3)
        mass = betabinom.pmf(counts, paper_trials, mean * strength, (1 - mean) * strength)
    return float(min(1.0, mass[mass <= mass[k] * (1 + 1e-9)].sum()))


def holm(p_values: ArrayLike) -> Array:
    """Holm's adjusted p values, in the order given."""
    p = _values(p_values, "p_values")
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    out = np.empty_like(p)
    out[order] = np.minimum(adjusted, 1.0)
    return out


def iqm(values: Array) -> Array:
    """Inter-quartile mean along axis 1 of (resamples, n): the mean without the lowest and the highest quarter."""
    from scipy.stats import trim_mean

    out: Array = np.asarray(trim_mean(values, 0.25, axis=1))
    return out


def expected_running_time(episodes: ArrayLike, reached: Sequence[bool]) -> float:
    """Episodes spent over all runs per run that reached the target; infinite if none did (censored runs cost too)."""
    spent = _values(episodes, "episodes")
    if len(reached) != len(spent):
        raise ValueError(f"reached: expected one per run ({len(spent)}), got {len(reached)}")
    hits = sum(bool(r) for r in reached)
    return float(spent.sum() / hits) if hits else float("inf")


def area_under_curve(episodes: ArrayLike, values: ArrayLike) -> float:
    """Trapezoidal area under a learning curve, divided by its length: the mean height."""
    x, y = _values(episodes, "episodes", 2), _values(values, "values", 2)
    if x.shape != y.shape or (np.diff(x) <= 0).any():
        raise ValueError("episodes: expected increasing numbers, one per value")
    return float(np.trapezoid(y, x) / (x[-1] - x[0]))

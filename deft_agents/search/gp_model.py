"""A Gaussian process over residuals, made for thirty points in twenty-two dimensions.

Most of what it knows is structure: one length-scale for each of position, wrist and fingers; a prior mean that falls
off around the affordance prior, which is roughly right; and hyper-parameters that are averaged over a small grid by
their evidence, because thirty points cannot determine them. NumPy only, a millisecond or two a fit.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp

Array = NDArray[np.float64]

_STARTS: Final = [group.start for group in grasp.GROUPS.values()]
_SIZES: Final = [group.stop - group.start for group in grasp.GROUPS.values()]
_OF_DIM: Final = np.repeat(np.arange(len(_SIZES)), _SIZES)


@dataclass(frozen=True, slots=True)
class GPConfig:
    """What the model takes for granted; lengths in units of sigma, chosen on synthetic landscapes (our choice).

    Attributes:
        mu: length-scales of the position group that are tried.
        wrist: of the wrist group.
        fingers: of the finger group.
        noise: noise variances that are tried, as a share of the signal's.
        drop: how far the prior mean falls along position, wrist and fingers, in standard deviations of the rewards:
            with one number for all, from the affordance prior to a typical draw of the initial distribution.
        keep: how many of the grid's hyper-parameters are averaged, by evidence.
        strength: pseudo-observations behind a signal variance of one.
    """

    mu: tuple[float, ...] = (1.0, 2.0, 4.0)
    wrist: tuple[float, ...] = (1.5, 3.0, 8.0)
    fingers: tuple[float, ...] = (10.0, 30.0, 100.0)
    noise: tuple[float, ...] = (0.3,)
    drop: tuple[float, float, float] = (1.0, 2.0, 0.5)
    keep: int = 6
    strength: float = 4.0


def group_distances(a: Array, b: Array) -> Array:
    """Squared distances (n, m, 3) between rows of (n, 22) and (m, 22), by group of coordinates."""
    distances: Array = np.add.reduceat((a[:, None, :] - b[None, :, :]) ** 2, _STARTS, axis=2)
    return distances


class GroupedGP:
    """The model fitted to points and rewards: an average of a few Gaussian processes.

    Attributes:
        scale: standard deviation of the rewards; predictions are in these units, around their mean.
        offset: mean of the rewards.
        evidence: log marginal likelihood, averaged over the grid, up to a constant of the number of points; of use
            between models of the same rewards.
    """

    def __init__(self, z: Array, rewards: Array, config: GPConfig | None = None) -> None:
        """Fits to points (n, 22) in units of sigma and their rewards (n,), n >= 1."""
        self.config = c = config or GPConfig()
        self._fall: Array = np.array(c.drop)[_OF_DIM] / grasp.DIM
        self.z = z
        self.offset = float(rewards.mean())
        # Rewards that are all the same say nothing about their scale; the floor keeps noise from being blown up.
        self.scale = max(float(rewards.std()), 0.02 * max(1e-12, float(np.abs(rewards).max())), 1e-9)
        y = (rewards - self.offset) / self.scale - self._prior_mean(z)
        grid = np.array(list(itertools.product(c.mu, c.wrist, c.fingers, c.noise)))
        inverse = grid[:, :3] ** -2.0
        n = len(z)
        # einsum, not matmul: sums in one order whatever the threads of a BLAS.
        correlation = np.exp(-0.5 * np.einsum("nmg,hg->hnm", group_distances(z, z), inverse))
        correlation[:, np.arange(n), np.arange(n)] += grid[:, 3:]
        cholesky = np.linalg.cholesky(correlation)
        white = np.linalg.solve(cholesky, np.broadcast_to(y[:, None], (len(grid), n, 1)))[..., 0]
        variance = (c.strength + (white**2).sum(axis=1)) / (c.strength + n)
        log_determinant = np.log(np.einsum("hnn->hn", cholesky)).sum(axis=1)
        evidence = -0.5 * (n + c.strength) * np.log(variance) - log_determinant
        best = np.argsort(-evidence, kind="stable")[: c.keep]
        self.evidence = float(evidence[best[0]] + np.log(np.exp(evidence - evidence[best[0]]).mean()))
        weights = np.exp(evidence[best] - evidence[best[0]])
        self.weights: Array = weights / weights.sum()
        self.inverse: Array = inverse[best]
        self.variance: Array = variance[best]
        self.precision: Array = np.linalg.inv(correlation[best])
        self.alpha: Array = np.einsum("hnm,m->hn", self.precision, y)

    def _prior_mean(self, z: Array) -> Array:
        mean: Array = self._fall.sum() - np.einsum("...d,d,...d->...", z, self._fall, z)
        return mean

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Mean and standard deviation (m,) at points (m, 22), in units of ``scale`` around ``offset``."""
        mean, deviation, _ = self._evaluate(points, 0.0, gradient=False)
        return mean, deviation

    def upper(self, points: Array, beta: float) -> tuple[Array, Array]:
        """Mean + beta standard deviations (m,) and its gradient (m, 22)."""
        mean, deviation, gradient = self._evaluate(points, beta, gradient=True)
        return mean + beta * deviation, gradient

    def _evaluate(self, points: Array, beta: float, *, gradient: bool) -> tuple[Array, Array, Array]:
        k = np.exp(-0.5 * np.einsum("mng,hg->hmn", group_distances(points, self.z), self.inverse))
        means = np.einsum("hmn,hn->hm", k, self.alpha)
        projected = np.matmul(k, self.precision)
        left = np.maximum(1.0 - np.einsum("hmn,hmn->hm", k, projected), 1e-9)
        weight = self.weights[:, None]
        mean = (weight * means).sum(axis=0)
        # Law of total variance over the hyper-parameters.
        variance = (weight * (self.variance[:, None] * left + means**2)).sum(axis=0) - mean**2
        deviation = np.sqrt(np.maximum(variance, 1e-12))
        total = mean + self._prior_mean(points)
        if not gradient:
            return total, deviation, np.empty(0)
        # d mean + beta d deviation, where d variance = sum_h w_h (s2_h d left_h + 2 (means_h - mean) d means_h).
        by_mean = weight * (1.0 + beta * (means - mean) / deviation)
        by_left = weight * self.variance[:, None] * beta / (2.0 * deviation)
        pull = k * (by_mean[..., None] * self.alpha[:, None, :] - 2.0 * by_left[..., None] * projected)
        pulls = np.einsum("hmn,hg->mng", pull, self.inverse)[:, :, _OF_DIM]
        slope = np.einsum("mnd,nd->md", pulls, self.z) - points * pulls.sum(axis=1)
        return total, deviation, slope - 2.0 * self._fall * points


def into_region(points: Array, radius: float, box: float) -> Array:
    """The points moved into the trust region: a ball around the affordance prior and a box."""
    inside = np.minimum(np.maximum(points, -box), box)
    norms = np.sqrt(np.einsum("md,md->m", inside, inside))
    return inside * np.minimum(1.0, radius / np.maximum(norms, 1e-12))[:, None]


def climb(model: GroupedGP, starts: Array, beta: float, radius: float, box: float, steps: int) -> Array:
    """The best point (22,) that gradient ascent of mean + beta deviations finds from the starts, in the region.

    Steps have a length of their own, shrinking geometrically from 0.6 to 0.02 sigma, so no line search is needed.
    """
    points = into_region(starts, radius, box)
    best, best_value = points[0], -np.inf
    for length in [*np.geomspace(0.6, 0.02, steps), 0.0]:
        values, slope = model.upper(points, beta)
        top = int(np.argmax(values))
        if values[top] > best_value:
            best, best_value = points[top].copy(), float(values[top])
        norms = np.sqrt(np.einsum("md,md->m", slope, slope))
        points = into_region(points + length * slope / np.maximum(norms, 1e-12)[:, None], radius, box)
    return best

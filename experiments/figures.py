"""Figures as PNG bytes: the learning curve of a run, residuals by group, curves of sweeps."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deft_env import grasp, paper


def _figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def learning_curve(training: Mapping[str, Any], title: str) -> bytes:
    """Reward and success of each fine-tuning episode, with the running mean of ten, as a PNG."""
    figure, (axis,) = _figure(7.2, 3.4)
    rewards = np.array([np.nan if r is None else r for r in training["rewards"]], dtype=np.float64)
    k = np.arange(1, len(rewards) + 1)
    hit = np.array([bool(s) for s in training["successes"]], dtype=bool)
    axis.axvspan(0.5, min(paper.WARMUP_EPISODES, len(k)) + 0.5, color="0.93", label="warm-up")
    axis.scatter(k[~hit], rewards[~hit], s=22, facecolors="none", edgecolors="tab:red", label="not a success")
    axis.scatter(k[hit], rewards[hit], s=26, color="tab:green", label="success")
    if len(k) >= paper.WARMUP_EPISODES:
        window = paper.WARMUP_EPISODES
        means = [np.nanmean(rewards[i - window : i]) for i in range(window, len(k) + 1) if np.isfinite(rewards[i - 1])]
        axis.plot(np.arange(len(k) - len(means) + 1, len(k) + 1), means, color="tab:blue", label="mean of the last 10")
    axis.set(xlabel="episode", ylabel="reward", title=title, xlim=(0.5, len(k) + 0.5))
    axis.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(fontsize=8, loc="outside lower center", ncols=4)
    return _png(figure)


def residual_groups(residuals: Sequence[Sequence[float]]) -> bytes:
    """Norm of the residual of each episode in each group, in units of sigma, as a PNG."""
    figure, axes = _figure(9.0, 2.8, len(grasp.GROUPS))
    z = np.array(residuals, dtype=np.float64).reshape(-1, grasp.DIM) / grasp.SIGMA
    k = np.arange(1, len(z) + 1)
    w = paper.WARMUP_EPISODES
    for axis, (name, group) in zip(axes, grasp.GROUPS.items(), strict=True):
        axis.plot(k, z[:, group], ".", color="tab:blue", alpha=0.35, markersize=4)
        for i in range(w, len(z) + 1):
            part = z[i - w : i, group]
            axis.errorbar(i, part.mean(), yerr=part.std(), color="black", linewidth=0.8, fmt=".", markersize=3)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set(title=name, xlabel="episode", ylim=(-4.2, 4.2))
        axis.axhline(0.0, color="0.7", linewidth=0.8)
    axes[0].set_ylabel("residual / sigma")
    return _png(figure)


def sweep_curves(curves: Mapping[str, Sequence[tuple[int, float, float, float]]], title: str) -> bytes:
    """Success against fine-tuning episodes, one line with a band per name: (episodes, estimate, low, high)."""
    figure, (axis,) = _figure(6.4, 3.6)
    for name, points in curves.items():
        n, y, low, high = (np.array(column) for column in zip(*sorted(points), strict=True))
        (line,) = axis.plot(n, y, marker="o", label=name)
        axis.fill_between(n, low, high, color=line.get_color(), alpha=0.15)
    axis.set(xlabel="fine-tuning episodes", ylabel="success", title=title, ylim=(-0.02, 1.02))
    axis.legend(fontsize=8)
    return _png(figure)

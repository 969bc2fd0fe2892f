"""Figures of a run as PNG bytes: its learning curve, its residuals by group."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deft_env import grasp, paper


def new_figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    """A figure of so many inches that needs no display, and its axes, side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def png(figure: Any) -> bytes:
    """The figure as PNG, without a date: the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def learning_curve(training: Mapping[str, Any], title: str) -> bytes:
    """Reward and success of each fine-tuning episode, with the running mean of ten, as a PNG."""
    figure, (axis,) = new_figure(7.2, 3.4)
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
    return png(figure)


def residual_groups(residuals: Sequence[Sequence[float]]) -> bytes:
    """Norm of the residual of each episode in each group, in units of sigma, as a PNG."""
    figure, axes = new_figure(9.0, 2.8, len(grasp.GROUPS))
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
    return png(figure)

"""Figures of sweeps as PNG bytes: curves, performance profiles, the course of residuals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp, paper
from deft_experiments.figures import new_figure, png

Array = NDArray[np.float64]


def curves(
    named: Mapping[str, Sequence[tuple[int, float, float, float]]], title: str, colours: Sequence[str] = ()
) -> bytes:
    """Success against fine-tuning episodes and a person's minutes, a line with a band a name: (n, rate, low, high).

    What has one point at no episodes, such as the prior alone, is a level. ``colours``: names whose place gives a line
    its colour, for pictures side by side.
    """
    figure, (axis,) = new_figure(6.4, 4.4)
    ticks = sorted({p[0] for points in named.values() for p in points if len(points) > 1 or p[0]})
    for name, points in named.items():
        n, y, low, high = (np.array(column) for column in zip(*sorted(points), strict=True))
        if list(n) == [0]:
            axis.axhline(y[0], color="0.3", linestyle="--", linewidth=1.0, label=name)
            continue
        colour = f"C{list(colours or named).index(name) % 10}"
        (line,) = axis.plot(n, y, marker="o", markersize=4, label=name, color=colour)
        axis.fill_between(n, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axis.set(xlabel="fine-tuning episodes", ylabel="success", ylim=(-0.02, 1.02), xticks=ticks or [0])
    axis.set_title(title, pad=8)
    axis.grid(alpha=0.25)
    minutes = axis.secondary_xaxis(
        "top", functions=(lambda n: n * paper.MINUTES_PER_TRIAL, lambda m: m / paper.MINUTES_PER_TRIAL)
    )
    minutes.set_xticks([tick * paper.MINUTES_PER_TRIAL for tick in ticks or [0]])
    minutes.set_xlabel("operator minutes (two a trial)", fontsize=8)
    figure.legend(fontsize=8, loc="outside lower center", ncols=2)
    return png(figure)


def profiles(named: Mapping[str, Array], levels: Array) -> bytes:
    """Share of runs at or above each level of success."""
    figure, (axis,) = new_figure(6.4, 3.8)
    for name, share in named.items():
        axis.step(levels, share, where="post", label=name)
    axis.set(xlabel="success", ylabel="share of runs at or above", xlim=(0, 1), ylim=(-0.02, 1.02))
    axis.grid(alpha=0.25)
    figure.legend(fontsize=8, loc="outside lower center", ncols=2)
    return png(figure)


def residuals(course: Mapping[str, Mapping[str, Array]]) -> bytes:
    """How far the mean of the last residuals moves and how far they spread, by group (``residual_course``)."""
    figure, axes = new_figure(9.0, 3.4, len(grasp.GROUPS))
    handles: dict[str, Any] = {}
    for i, (search, groups) in enumerate(course.items()):
        for axis, (group, values) in zip(axes, groups.items(), strict=True):
            k = np.arange(2, len(values) + 2)
            (handles[search],) = axis.plot(k, values[:, 0], color=f"C{i % 10}")
            axis.plot(k, values[:, 1], "--", color=f"C{i % 10}")
            axis.set(title=group, xlabel="episode")
            axis.grid(alpha=0.25)
    for axis in axes:
        axis.set_ylim(bottom=0.0)
    axes[0].set_ylabel("sigma")
    figure.legend(handles.values(), handles.keys(), fontsize=8, loc="outside lower center", ncols=4)
    return png(figure)

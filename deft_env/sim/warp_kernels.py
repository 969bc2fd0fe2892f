"""Kernels of whole episodes on a GPU: set the controls of a tick, record it, keep the worst. Imports Warp at once."""

# mypy: ignore-errors
# Annotations here are Warp's, which it reads: no ``from __future__ import annotations``.

import warp as wp


@wp.kernel
def set_controls(tick: wp.array(dtype=int), controls: wp.array3d(dtype=float), ctrl: wp.array2d(dtype=float)):
    """Copies the present tick of controls (T, N, nu) to ctrl (N, nu)."""
    world, actuator = wp.tid()
    ctrl[world, actuator] = controls[tick[0], world, actuator]


@wp.kernel
def keep_worst(
    sensordata: wp.array2d(dtype=float),
    addresses: wp.array(dtype=int),
    overflow: wp.array(dtype=int),
    strike: wp.array(dtype=float),
    overflowed: wp.array(dtype=int),
):
    """After a physics step: the greatest force of the sensors at ``addresses``, and which room did not suffice."""
    world = wp.tid()
    overflowed[world] = overflowed[world] | overflow[world]
    for i in range(addresses.shape[0]):
        at = addresses[i] + 1  # found, then the force
        force = wp.vec3(sensordata[world, at], sensordata[world, at + 1], sensordata[world, at + 2])
        strike[world] = wp.max(strike[world], wp.length(force))


@wp.kernel
def break_overstretched(
    sensordata: wp.array2d(dtype=float),
    addresses: wp.array(dtype=int),
    equalities: wp.array(dtype=int),
    limits: wp.array(dtype=float),
    active: wp.array2d(dtype=bool),
):
    """After a tick: switches the equalities off whose stretch (three numbers from ``addresses`` on) is too large."""
    world, i = wp.tid()
    at = addresses[i]
    stretch = wp.vec3(sensordata[world, at], sensordata[world, at + 1], sensordata[world, at + 2])
    if wp.length(stretch) > limits[i]:
        active[world, equalities[i]] = False


@wp.kernel
def record(tick: wp.array(dtype=int), source: wp.array2d(dtype=float), series: wp.array3d(dtype=float)):
    """Copies source (N, d) to the present tick of series (T, N, d)."""
    world, column = wp.tid()
    series[tick[0], world, column] = source[world, column]


@wp.kernel
def advance(tick: wp.array(dtype=int)):
    """The next tick."""
    tick[0] = tick[0] + 1

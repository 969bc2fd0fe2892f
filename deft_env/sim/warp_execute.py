"""Plays N episodes with MuJoCo Warp: on a GPU, one captured graph replayed each control tick, no host in between.

Outcomes agree with the CPU's in rate, not in bits: single precision, another solver, other orders of sums. Controls are
uploaded once and signals are fetched once. Which worlds share a batch: ``sim.warp_models``.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from typing import Any, Final

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env.sim import names, warp_models
from deft_env.sim.breaks import Addresses
from deft_env.sim.execute import Playback, sensor_slices
from deft_env.tasks.task import Breakable

Array = NDArray[np.float64]
DEVICES: Final = {"cuda": "cuda:0", "warp-cpu": "cpu"}
"""Our names of devices, and Warp's; ``warp-cpu`` is slow and for tests of the logic alone."""
CONTACTS: Final = 64
"""Contacts a world on average, and …"""
CONSTRAINTS: Final = 256
"""… constraints a world at first; both are doubled and the batch played again where they do not suffice."""
_DOUBLINGS: Final = 3


def check(device: str) -> None:
    """Whether ``device`` can be used here.

    Raises:
        ValueError: for an unknown device.
        ImportError: without MuJoCo Warp.
        RuntimeError: for ``"cuda"`` without a GPU and its driver.
    """
    if device not in DEVICES:
        raise ValueError(f"device: expected 'cpu', {', '.join(map(repr, DEVICES))}, got {device!r}")
    try:
        warp: Any = importlib.import_module("warp")
        warp.config.log_level = warp.LOG_ERROR  # that there is no driver is said below; and no line a compiled kernel
        import mujoco_warp  # noqa: F401
    except ImportError as error:
        raise ImportError(f"device {device!r} needs MuJoCo Warp: pip install 'deft-hand[gpu]'") from error
    warp.init()
    warp.config.log_level = warp.LOG_WARNING
    if device == "cuda" and not warp.is_cuda_available():
        raise RuntimeError(
            "device 'cuda': no NVIDIA GPU with a driver was found (see nvidia-smi); use device='cpu', or 'warp-cpu' to "
            "test the logic slowly"
        )


def play(
    models: Sequence[mujoco.MjModel],
    qpos: ArrayLike,
    controls: ArrayLike,
    *,
    substeps: int,
    film_every: int = 0,
    device: str = "cuda",
    breakables: Sequence[Breakable] = (),
    contacts: int = CONTACTS,
    constraints: int = CONSTRAINTS,
) -> Playback:
    """Steps N worlds through their controls, as ``execute.play`` does.

    Args:
        models: N models.
        qpos: (N, nq) initial joint positions.
        controls: (N, T, nu) set points, one row a control tick.
        substeps: physics steps in a control tick.
        film_every: keep the state every so many ticks; 0 keeps none.
        device: a key of ``DEVICES``.
        breakables: constraints that break when they are stretched, looked at on the device after every tick.
        contacts: room for contacts a world.
        constraints: room for constraints a world.

    Returns:
        As ``execute.play``; a world with a value that is not finite is faulted. No contact is ever dropped: a batch
        that lacked room is announced by a warning and played again with twice as much.

    Raises:
        ValueError: if sizes do not fit.
        RuntimeError: if room still lacks after three doublings.
    """
    check(device)
    q, u = np.asarray(qpos, dtype=np.float64), np.asarray(controls, dtype=np.float64)
    n, ticks = u.shape[:2]
    first = models[0]
    if len(models) != n or q.shape != (n, first.nq) or u.shape[2] != first.nu:
        raise ValueError(f"models, qpos, controls: {len(models)}, {q.shape} and {u.shape} do not fit")
    series, strike = np.empty((n, ticks, first.nsensordata)), np.empty(n)
    states = np.empty((n, ticks, first.nq))
    for rows in warp_models.groups(models):
        for attempt in range(_DOUBLINGS + 1):
            room = contacts << attempt, constraints << attempt
            got = _play([models[i] for i in rows], q[rows], u[rows], substeps, DEVICES[device], breakables, *room)
            lacked = np.count_nonzero(got[3])
            if not lacked:
                break
            kinds = _overflow_names(int(np.bitwise_or.reduce(got[3])))
            said = f"{lacked} of {len(rows)} worlds lacked room for {room[0]} contacts, {room[1]} constraints ({kinds})"
            if attempt == _DOUBLINGS:
                raise RuntimeError(f"{said}; nothing of this batch is kept")
            warnings.warn(f"{said}; played again with twice as much", RuntimeWarning, stacklevel=2)
        series[rows], states[rows], strike[rows] = got[0], got[1], got[2]
    finite = np.isfinite(series).all(axis=(1, 2)) & np.isfinite(states).all(axis=(1, 2))
    faulted: NDArray[np.bool_] = np.logical_not(finite)
    kept = states[:, film_every - 1 :: film_every] if film_every else states[:, :0]
    return Playback(
        series=series,
        slices=sensor_slices(first),
        strike_n=np.where(np.isfinite(strike), strike, np.inf),
        faulted=faulted,
        reason=tuple("unstable physics: a value that is not finite" if bad else "" for bad in faulted),
        final_qpos=states[:, -1].copy(),
        film_qpos=np.concatenate([q[:, None], kept], axis=1) if film_every else kept.copy(),
    )


def _overflow_names(bits: int) -> str:
    import mujoco_warp as mjw

    kinds = [kind.name for kind in mjw.OverflowType if kind.name not in ("NONE", "ALL") and kind & bits]
    return ", ".join(str(kind) for kind in kinds)


def _play(
    models: Sequence[mujoco.MjModel],
    qpos: Array,
    controls: Array,
    substeps: int,
    device: str,
    breakables: Sequence[Breakable],
    contacts: int,
    rows: int,
) -> tuple[Array, Array, Array, NDArray[np.int64]]:
    """Series (n, T, ns), states (n, T, nq), greatest strikes (n,) and overflow bits (n,) of one batch."""
    import mujoco_warp as mjw

    from deft_env.sim import warp_kernels as kernels

    wp: Any = importlib.import_module("warp")  # its own types change from version to version
    n, ticks = controls.shape[:2]
    first = models[0]
    with wp.ScopedDevice(device):
        model = warp_models.put_models(models)
        model.opt.warn_overflow = 0  # counted here, not printed by the device
        data = mjw.make_data(first, nworld=n, nconmax=contacts, njmax=rows)
        warp_models.place_static_geoms(data, models)
        slices = sensor_slices(first)
        addresses = wp.array([slices[name].start for name in names.STRIKE_SENSORS if name in slices], dtype=int)
        stems = Addresses.of(first, breakables) if breakables else None
        if stems is not None:
            breaking = [
                wp.array(stems.columns[:, 0], dtype=int),
                wp.array(stems.equalities, dtype=int),
                wp.array(stems.limits_m, dtype=float),
            ]
        wished = wp.array(np.ascontiguousarray(controls.transpose(1, 0, 2)), dtype=float)
        series = wp.zeros((ticks, n, first.nsensordata), dtype=float)
        states = wp.zeros((ticks, n, first.nq), dtype=float)
        tick, strike = wp.zeros(1, dtype=int), wp.zeros(n, dtype=float)
        overflowed = wp.zeros(n, dtype=int)

        def begin() -> None:
            mjw.reset_data(model, data)
            data.qpos.assign(qpos.astype(np.float32))
            for array in (tick, strike, overflowed):
                array.zero_()

        def one_tick() -> None:
            wp.launch(kernels.set_controls, dim=(n, first.nu), inputs=[tick, wished], outputs=[data.ctrl])
            for _ in range(substeps):
                mjw.step(model, data)
                wp.launch(
                    kernels.keep_worst,
                    dim=n,
                    inputs=[data.sensordata, addresses, data.overflow],
                    outputs=[strike, overflowed],
                )
            wp.launch(kernels.record, dim=(n, first.nsensordata), inputs=[tick, data.sensordata], outputs=[series])
            wp.launch(kernels.record, dim=(n, first.nq), inputs=[tick, data.qpos], outputs=[states])
            if stems is not None:
                inputs = [data.sensordata, *breaking]
                wp.launch(
                    kernels.break_overstretched, dim=(n, len(breakables)), inputs=inputs, outputs=[data.eq_active]
                )
            wp.launch(kernels.advance, dim=1, inputs=[tick])

        begin()
        if wp.get_device().is_cuda:
            one_tick()  # compiles and loads what the graph will hold
            begin()
            with wp.ScopedCapture() as capture:
                one_tick()
            for _ in range(ticks):
                wp.capture_launch(capture.graph)
        else:
            for _ in range(ticks):
                one_tick()
        return (
            series.numpy().astype(np.float64).transpose(1, 0, 2),
            states.numpy().astype(np.float64).transpose(1, 0, 2),
            strike.numpy().astype(np.float64),
            overflowed.numpy().astype(np.int64),
        )

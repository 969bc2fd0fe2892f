"""Plays N episodes with MuJoCo Warp: on a GPU, one captured graph replayed each control tick, no host in between.

Outcomes agree with the CPU's in rate, not in bits: single precision, another solver, other orders of sums. Controls are
uploaded once and signals are fetched once. Worlds whose models differ in what MuJoCo Warp keeps per world (sizes,
masses, places, friction) share a batch; those with other meshes or another layout form batches of their own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env.sim import names
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
_LOOKS: Final = ("_", "bvh_", "cam_", "key_", "light_", "mat_", "name", "oct_", "skin_", "tex_", "text_")
_RGBA: Final = "_rgba"
_UNREAD: Final = ("dof_M0", "dof_length")
"""Of no use to MuJoCo Warp 4.0 (sleeping, and lengths of actuators): may differ within a batch."""


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
        import mujoco_warp  # noqa: F401

        warp: Any = importlib.import_module("warp")
    except ImportError as error:
        raise ImportError(f"device {device!r} needs MuJoCo Warp: pip install 'deft-hand[gpu]'") from error
    warp.config.quiet = True
    warp.init()
    if device == "cuda" and not warp.is_cuda_available():
        raise RuntimeError(
            "device 'cuda': no NVIDIA GPU with a driver was found (see nvidia-smi); use device='cpu', or 'warp-cpu' to "
            "test the logic slowly"
        )


@lru_cache(maxsize=1)
def _per_world() -> frozenset[str]:
    """Model fields that MuJoCo Warp can keep for each world."""
    import mujoco_warp as mjw

    shapes = {f.name: getattr(f.type, "shape", ()) for f in dataclasses.fields(mjw.Model)}
    return frozenset(name for name, shape in shapes.items() if isinstance(shape, tuple) and shape and shape[0] == "*")


def _fields(model: mujoco.MjModel) -> dict[str, NDArray[Any]]:
    """The arrays of a model that physics reads."""
    out = {}
    for name in dir(model):
        if name.startswith(_LOOKS) or name.endswith(_RGBA) or name in _UNREAD:
            continue
        value = getattr(model, name)
        if isinstance(value, np.ndarray):
            out[name] = value
    return out


def groups(models: Sequence[mujoco.MjModel]) -> list[list[int]]:
    """Indices of models that can share a batch: equal in all that is not kept per world."""
    found: dict[bytes, list[int]] = {}
    for i, model in enumerate(models):
        digest = hashlib.sha256()
        for name, value in _fields(model).items():
            digest.update(f"{name} {value.shape} ".encode())
            if name not in _per_world():
                digest.update(np.ascontiguousarray(value).tobytes())
        found.setdefault(digest.digest(), []).append(i)
    return list(found.values())


def put_models(models: Sequence[mujoco.MjModel]) -> Any:
    """One device model for worlds of one group, with the fields in which they differ kept per world.

    Raises:
        RuntimeError: if this version of MuJoCo Warp lays a field out otherwise than MuJoCo does.
    """
    import mujoco_warp as mjw

    first = _fields(models[0])
    alike = {name for name in first if name not in _per_world()}
    differing = [
        name
        for name, value in first.items()
        if name not in alike and any(not np.array_equal(getattr(model, name), value) for model in models[1:])
    ]
    made = mjw.put_model(models[0], batch_sizes=dict.fromkeys(differing, len(models)))
    for name in differing:
        target = getattr(made, name)
        shape = target.numpy().shape
        values = np.stack([np.asarray(getattr(model, name), dtype=np.float64) for model in models]).reshape(shape)
        if not np.allclose(target.numpy()[0], values[0].astype(target.numpy().dtype)):
            raise RuntimeError(f"mujoco-warp {mjw.__version__} keeps {name} in another layout than MuJoCo does")
        target.assign(values.astype(target.numpy().dtype))
    return made


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
    for rows in groups(models):
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
        model = put_models(models)
        model.opt.warn_overflow = 0  # counted here, not printed by the device
        data = mjw.make_data(first, nworld=n, nconmax=contacts, njmax=rows)
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

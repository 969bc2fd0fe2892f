"""Models of several worlds as one model on a device: which can share it, and what it keeps for each world.

MuJoCo Warp keeps sizes, masses, places, friction and the choice of a geom's mesh for each world. Meshes themselves it
keeps once, so those of all worlds are laid one after another. What else differs makes batches of their own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import mujoco
import numpy as np
from numpy.typing import NDArray

from deft_env.sim.scenes import layout

_LOOKS: Final = ("_", "bvh_", "cam_", "key_", "light_", "mat_", "name", "oct_", "skin_", "tex_", "text_")
_RGBA: Final = "_rgba"
_UNREAD: Final = ("dof_M0", "dof_length")
"""Of no use to MuJoCo Warp 4.0 (sleeping, and lengths of actuators): may differ within a batch."""
_MESH: Final = "mesh_"
_ADDRESSES: Final = {
    "mesh_vertadr": "nmeshvert",
    "mesh_faceadr": "nmeshface",
    "mesh_normaladr": "nmeshnormal",
    "mesh_graphadr": "nmeshgraph",
    "mesh_polyadr": "nmeshpoly",
    "mesh_polyvertadr": "nmeshpolyvert",
    "mesh_polymapadr": "nmeshpolymap",
}
"""Places in other arrays, and how much further on those of the next model begin; -1 is no place."""


@lru_cache(maxsize=1)
def _per_world() -> frozenset[str]:
    """Model fields that MuJoCo Warp can keep for each world."""
    import mujoco_warp as mjw

    shapes = {f.name: getattr(f.type, "shape", ()) for f in dataclasses.fields(mjw.Model)}
    return frozenset(name for name, shape in shapes.items() if isinstance(shape, tuple) and shape and shape[0] == "*")


@lru_cache(maxsize=1)
def _names() -> tuple[str, ...]:
    """Arrays of a model that physics reads."""
    model = mujoco.MjSpec().compile()
    names = (n for n in dir(model) if not (n.startswith(_LOOKS) or n.endswith(_RGBA) or n in _UNREAD))
    return tuple(name for name in names if isinstance(getattr(model, name), np.ndarray))


def _digest(model: mujoco.MjModel, names: Sequence[str]) -> bytes:
    digest = hashlib.blake2b()
    for name in names:
        value = getattr(model, name)
        digest.update(f"{value.shape}".encode())
        digest.update(value.tobytes())
    return digest.digest()


def groups(models: Sequence[mujoco.MjModel]) -> list[list[int]]:
    """Indices of models that can share a batch: of one layout, equal in all that is neither per world nor a mesh."""
    alike = [name for name in _names() if name not in _per_world()]
    packed = [name for name in alike if not name.startswith(_MESH)]
    found: dict[tuple[bytes, tuple[int, ...]], list[int]] = {}
    for i, model in enumerate(models):
        # Octrees (of signed distance fields) are not laid one after another: their meshes must agree.
        digest = _digest(model, alike if model.mesh_octnum.any() else packed)
        found.setdefault((digest, layout(model)), []).append(i)
    return list(found.values())


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Meshes:
    """Meshes of several models, one after another.

    Attributes:
        arrays: by the name of the model's field.
        sizes: numbers of things, and the largest of a maximum, by the name of the model's field.
        first: (N,) number of each model's first mesh.
    """

    arrays: dict[str, NDArray[Any]]
    sizes: dict[str, int]
    first: NDArray[np.int64]


def pack_meshes(models: Sequence[mujoco.MjModel]) -> Meshes:
    """Lays the meshes of models one after another, those of equal models once, as MuJoCo's compiler would."""
    names = [name for name in _names() if name.startswith(_MESH)]
    places: dict[bytes, int] = {}
    distinct: list[mujoco.MjModel] = []
    which = []
    for model in models:
        key = _digest(model, names)
        if key not in places:
            places[key] = len(distinct)
            distinct.append(model)
        which.append(places[key])
    arrays: dict[str, NDArray[Any]] = {}
    for name in names:
        parts, further = [], 0
        for model in distinct:
            value = np.asarray(getattr(model, name))
            if name in _ADDRESSES:
                value = np.where(value < 0, value, value + further)
                further += int(getattr(model, _ADDRESSES[name]))
            parts.append(value)
        arrays[name] = np.concatenate(parts)
    sizes = {name: sum(int(getattr(m, name)) for m in distinct) for name in {"nmesh", *_ADDRESSES.values()}}
    sizes["nmeshdegmax"] = max(int(model.nmeshdegmax) for model in distinct)
    starts = np.cumsum([0, *(int(model.nmesh) for model in distinct)])
    return Meshes(arrays, sizes, starts[which])


def put_models(models: Sequence[mujoco.MjModel]) -> Any:
    """One device model for worlds of one group, with the fields in which they differ kept per world.

    Raises:
        RuntimeError: if this version of MuJoCo Warp lays a field out otherwise than MuJoCo does.
    """
    import mujoco_warp as mjw

    wp: Any = importlib.import_module("warp")
    first, meshes = models[0], pack_meshes(models)
    values = {name: np.stack([getattr(model, name) for model in models]) for name in _names() if name in _per_world()}
    own = (first.geom_type == mujoco.mjtGeom.mjGEOM_MESH) & (values["geom_dataid"] >= 0)
    values["geom_dataid"] = values["geom_dataid"] + own * meshes.first[:, None]
    differing = {name: each for name, each in values.items() if not np.array_equal(each[1:], each[:-1])}
    made = mjw.put_model(first, batch_sizes=dict.fromkeys(differing, len(models)))
    for name, each in differing.items():
        target = getattr(made, name)
        kept = target.numpy()
        stacked = each.reshape(kept.shape).astype(kept.dtype)
        if not np.allclose(kept[0], stacked[0]):
            raise RuntimeError(f"mujoco-warp {mjw.__version__} keeps {name} in another layout than MuJoCo does")
        target.assign(stacked)
    for name in (f.name for f in dataclasses.fields(made) if f.name.startswith(_MESH)):
        old, new = getattr(made, name), meshes.arrays.get(name)
        if new is None or new.shape[1:] != old.numpy().shape[1:]:
            raise RuntimeError(f"mujoco-warp {mjw.__version__} keeps {name} in another layout than MuJoCo does")
        setattr(made, name, wp.array(np.ascontiguousarray(new.astype(old.numpy().dtype)), dtype=old.dtype))
    for name, size in meshes.sizes.items():
        setattr(made, name, size)
    return made


def place_static_geoms(data: Any, models: Sequence[mujoco.MjModel]) -> None:
    """Puts geoms that are fixed to the world where each world has them.

    MuJoCo Warp computes their poses once, when data is made, and of one model: without this, chests and pots of all
    worlds would stand where those of the first do, unseen by every other field.
    """
    places, turns = data.geom_xpos.numpy().copy(), data.geom_xmat.numpy().copy()
    host = mujoco.MjData(models[0])  # of the sizes of all
    for i, model in enumerate(models):
        mujoco.mj_kinematics(model, host)
        places[i], turns[i] = host.geom_xpos, host.geom_xmat.reshape(turns[i].shape)
    data.geom_xpos.assign(places)
    data.geom_xmat.assign(turns)

"""Deformable things: finite elements in place of a rigid body, and sensors that let the same judges watch them.

For evaluation and pictures, at over ten times the cost of a rigid body with soft contact. The elements move with the
nodes of four boxes side by side (trilinear): a thing can be squeezed, sheared, bent and twisted as a whole, but not
dented more finely than that; the softness of contact stands for the rest, as it does for the rigid version.

A contact sensor cannot name a deformable thing. What is measured instead is every contact of the other side less those
with everything else that it can meet: ``combine`` subtracts, and the judge sees the signal that it knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import mujoco

Array = NDArray[np.float64]
Side = tuple[Any, str]
"""Kind (``mujoco.mjtObj``) and name of one side of a contact."""

PHYSICS: Final[Mapping[str, Any]] = {"integrator": "discrete", "timestep_s": 0.004}
"""Elasticity is integrated implicitly, which only ``discrete`` does; no warning at this step (our choice)."""
SKIN_M: Final = 0.001
"""Elements have skin: surfaces lie this far outside their vertices."""
_PREFIX: Final = "soft/"
_CELLS: Final = (2, 2, 1)
_BOTTOM: Final = slice(0, None, 2)
_TOP: Final = slice(1, None, 2)
"""Nodes are counted with the height running fastest."""
_SHARES: Final = np.einsum("i,j,k->ijk", (1 / 8, 3 / 4, 1 / 8), (1 / 8, 3 / 4, 1 / 8), (1 / 2, 1 / 2)).flatten()
"""Shares of the mass in the nodes: about a horizontal axis they turn like a disc as wide as the box."""


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """Tetrahedra that fill a thing standing on z = 0.

    Attributes:
        vertices_m: (V, 3).
        elements: (E, 4) indices of vertices, positively oriented.
        texture: (V,) where on a texture's line of colours a vertex lies, 0 to 1.
    """

    vertices_m: Array
    elements: NDArray[np.int64]
    texture: Array


@dataclass(frozen=True, slots=True)
class Material:
    """What a thing is made of.

    Attributes:
        young_pa: Young's modulus.
        poisson: Poisson's ratio.
        damping_s: time constant of its damping.
        solimp: softness of its contacts, which stands for dents.
    """

    young_pa: float
    poisson: float
    damping_s: float
    solimp: tuple[float, float, float, float, float]


def _oriented(vertices: Array, elements: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    out = np.array(elements, dtype=np.int64)
    edges = vertices[out[:, 1:]] - vertices[out[:, :1]]
    inside_out = np.linalg.det(edges) < 0
    out[inside_out, :2] = out[inside_out, 1::-1]
    return out


def turned(profile_m: Array, texture: Sequence[float], sides: int) -> Mesh:
    """A convex thing turned on a lathe.

    Args:
        profile_m: (K, 2) radius and height of its rings, from the bottom's middle round to the top's (radius 0 both).
        texture: (K,) texture of the rings.
        sides: of the polygon.
    """
    angle = np.arange(sides) * (2 * np.pi / sides)
    rings = profile_m[1:-1]
    points = [(r * np.cos(a), r * np.sin(a), z) for r, z in rings for a in angle]
    low, high = profile_m[0, 1], profile_m[-1, 1]
    points += [(0.0, 0.0, low), (0.0, 0.0, high), (0.0, 0.0, (low + high) / 2)]
    bottom, top, middle = (len(rings) * sides + i for i in range(3))
    faces = []
    for i in range(sides):
        j = (i + 1) % sides
        faces += [(bottom, i, j), (top, (len(rings) - 1) * sides + i, (len(rings) - 1) * sides + j)]
        for a, b in pairwise(ring * sides for ring in range(len(rings))):
            faces += [(a + i, a + j, b + i), (a + j, b + i, b + j)]
    vertices = np.array(points)
    where = np.concatenate([np.repeat(texture[1:-1], sides), [texture[0], texture[-1], texture[0]]])
    return Mesh(vertices, _oriented(vertices, [(middle, *face) for face in faces]), where)


def ring(inner_m: float, outer_m: float, height_m: float, texture: Sequence[float], segments: int) -> Mesh:
    """A ring of hexagonal section on its cut face, rounder above.

    Args:
        inner_m: radius of the hole.
        outer_m: outer radius.
        height_m: height.
        texture: of the section's six corners, counter-clockwise from the outer bottom one.
        segments: round the ring.
    """
    middle, half, corners = (inner_m + outer_m) / 2, (outer_m - inner_m) / 2, len(texture)
    across = np.array([0.95, 1.0, 0.6, -0.6, -1.0, -0.95]) * half
    up = np.array([0.0, 0.45, 1.0, 1.0, 0.45, 0.0]) * height_m
    section = np.column_stack([np.append(middle + across, middle), np.append(up, height_m / 2)])
    angle = np.arange(segments) * (2 * np.pi / segments)
    vertices = np.array([(r * np.cos(a), r * np.sin(a), z) for a in angle for r, z in section])
    elements = []
    for i in range(segments):
        here, there = i * (corners + 1), (i + 1) % segments * (corners + 1)
        for j in range(corners):
            triangle = (corners, j, (j + 1) % corners)
            p, q = [here + k for k in triangle], [there + k for k in triangle]
            # A prism is three tetrahedra.
            elements += [(*p, q[0]), (p[1], p[2], q[0], q[1]), (p[2], q[0], q[1], q[2])]
    where = np.tile([*texture, float(np.mean(texture))], segments)
    return Mesh(vertices, _oriented(vertices, elements), where)


def _texture(spec: mujoco.MjSpec, name: str, colours: Sequence[Sequence[float]]) -> str:
    """A material whose texture is a line of colours of equal width; returns its name."""
    import mujoco

    width = 16
    line = np.array([colours[i * len(colours) // width][:3] for i in range(width)])
    pixels = np.tile((line * 255).astype(np.uint8), (width, 1, 1))
    spec.add_texture(
        name=name,
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        width=width,
        height=width,
        nchannel=3,
        data=pixels.flatten().tolist(),
    )
    material = spec.add_material(name=name, specular=0.2, shininess=0.3)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    return name


def add(
    spec: mujoco.MjSpec,
    name: str,
    mesh: Mesh,
    material: Material,
    *,
    mass_kg: float,
    friction: float,
    colours: Sequence[Sequence[float]],
) -> None:
    """Adds a deformable thing in place of a free body of that name, and the sensors of its pose.

    The body itself stands where the scene puts it; the nodes move. All mass is in them.

    Args:
        spec: the world.
        name: of body, deformable thing, texture and sensors.
        mesh: what fills it.
        material: what it is made of.
        mass_kg: its mass.
        friction: sliding friction of its contacts.
        colours: of its texture.
    """
    import mujoco

    from deft_env.sim import contact

    points = mesh.vertices_m
    size = points.max(0) - points.min(0)
    centre = (points.max(0) + points.min(0)) / 2
    body = spec.worldbody.add_body(name=name)
    flex = body.make_flex(
        name, type="grid", dof="trilinear", count=[2, 2, 2], cellcount=_CELLS, spacing=size, mass=mass_kg, pos=centre,
        radius=SKIN_M,
    )  # fmt: skip
    # Vertices lie one skin inside the surface.
    inner = centre + (points - centre) * (1.0 - 2 * SKIN_M / size)
    flex.vert, flex.elem = inner.flatten().tolist(), mesh.elements.flatten().tolist()
    flex.vertbody = [name] * len(points)
    flex.texcoord = np.column_stack([0.02 + 0.96 * mesh.texture, np.full(len(points), 0.5)]).flatten().tolist()
    flex.elemtexcoord = mesh.elements.flatten().tolist()
    flex.material, flex.rgba = _texture(spec, name, colours), [1.0, 1.0, 1.0, 1.0]
    flex.young, flex.poisson, flex.damping = material.young_pa, material.poisson, material.damping_s
    flex.selfcollide = mujoco.mjtFlexSelf.mjFLEXSELF_NONE
    flex.contype, flex.conaffinity = contact.OBJECT
    flex.priority, flex.condim = 1, contact.CONDIM
    flex.friction, flex.solref, flex.solimp = [friction, 0.01, 1e-4], list(contact.SOLREF), list(material.solimp)
    for i, (node, share) in enumerate(zip(flex.nodebody, _SHARES, strict=True)):
        spec.body(node).mass = share * mass_kg
        spec.add_sensor(
            name=f"{_PREFIX}{name}/node{i}",
            type=mujoco.mjtSensor.mjSENS_FRAMEPOS,
            objtype=mujoco.mjtObj.mjOBJ_XBODY,
            objname=node,
        )


def add_contact_sensor(
    spec: mujoco.MjSpec,
    signal: str,
    others: Sequence[Side],
    *,
    first: Side | None = None,
    second: Side | None = None,
    force: bool = True,
) -> None:
    """Adds what ``combine`` needs to make the contact ``signal`` of a deformable thing with one other.

    Args:
        spec: the world.
        signal: name that judges know; columns as in ``world.add_contact_sensor``.
        others: everything else that the named side can touch.
        first: the named side, if force is that on the deformable thing; else
        second: the named side, if force is that on it.
        force: whether to report the force as well.

    Raises:
        ValueError: unless exactly one side is named.
    """
    import mujoco

    from deft_env.sim import world

    if (first is None) == (second is None):
        raise ValueError(f"first, second: name exactly one side of {signal}, got {first} and {second}")
    for name, missing in (("any", (mujoco.mjtObj.mjOBJ_UNKNOWN, "")), *((f"less{i}", o) for i, o in enumerate(others))):
        world.add_contact_sensor(spec, f"{_PREFIX}{signal}/{name}", first or missing, second or missing, force=force)


def combine(sensors: Mapping[str, Array]) -> dict[str, Array]:
    """The signals that judges know, of the sensors that ``add`` and ``add_contact_sensor`` made; others as they are.

    A thing's position is the middle of its bottom nodes, its ``up`` points from there to the middle of the top ones.
    """
    out = {name: series for name, series in sensors.items() if not name.startswith(_PREFIX)}
    for name, series in sensors.items():
        signal = name.removeprefix(_PREFIX).rpartition("/")[0]
        if name == f"{_PREFIX}{signal}/any":
            less = [value for key, value in sensors.items() if key.startswith(f"{_PREFIX}{signal}/less")]
            out[signal] = np.asarray(series - sum(less))
        elif name == f"{_PREFIX}{signal}/node0":
            nodes = np.stack([sensors[f"{_PREFIX}{signal}/node{i}"] for i in range(len(_SHARES))], axis=1)
            bottom, top = nodes[:, _BOTTOM].mean(axis=1), nodes[:, _TOP].mean(axis=1)
            out[f"{signal}/position"] = bottom
            out[f"{signal}/up"] = (top - bottom) / np.linalg.norm(top - bottom, axis=1, keepdims=True)
    return out

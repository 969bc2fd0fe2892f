"""Shapes of which objects are built: convex frusta, bodies, grip sensors; thin helpers over MjSpec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import mujoco
import numpy as np
from numpy.typing import NDArray

from deft_env import grasp
from deft_env.sim import contact, names, world
from deft_env.tasks import soft
from deft_env.tasks.objects import Colour

Array = NDArray[np.float64]

UPRIGHT: Final = np.array([1.0, 0.0, 0.0, 0.0])
GRIP_SENSORS: Final = {digit: f"grip/{digit}" for digit in (*grasp.FINGER_NAMES, "palm")}
"""Digit -> contact sensor between it and the task's object: found, force x, y, z (N, world frame)."""
_SIDES: Final = 20


def yaw_quaternion(yaw_rad: float) -> Array:
    """Quaternion (w, x, y, z) of a turn about the vertical."""
    return np.array([np.cos(yaw_rad / 2), 0.0, 0.0, np.sin(yaw_rad / 2)])


def turn(yaw_rad: float, vector: Array) -> Array:
    """Turns a vector (3,) about the vertical."""
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    return np.array([c * vector[0] - s * vector[1], s * vector[0] + c * vector[1], vector[2]])


def free_body(spec: mujoco.MjSpec, name: str) -> mujoco.MjsBody:
    """A body with a free joint of the same name."""
    body = spec.worldbody.add_body(name=name)
    body.add_freejoint(name=name)
    return body


def fixed_body(spec: mujoco.MjSpec, name: str) -> mujoco.MjsBody:
    """A body that stands where the scene puts it and never moves."""
    return spec.worldbody.add_body(name=name)


def frustum_mesh(spec: mujoco.MjSpec, name: str, bottom_m: float, top_m: float, height_m: float) -> str:
    """Adds a convex frustum standing on z = 0 as a mesh; returns its name."""
    angle = np.arange(_SIDES) * (2 * np.pi / _SIDES)
    ring = np.column_stack([np.cos(angle), np.sin(angle), np.zeros(_SIDES)])
    vertices = np.concatenate([ring * [bottom_m, bottom_m, 0], ring * [top_m, top_m, 0] + [0, 0, height_m]])
    spec.add_mesh(name=name, uservert=vertices.astype(np.float32).flatten())
    return name


def touchable(geom: mujoco.MjsGeom, friction: float, mass_kg: float, rgba: Colour) -> mujoco.MjsGeom:
    """Gives a geom mass, colour and the contact of a moving object."""
    contact.set_object_contact(geom, friction)
    geom.mass, geom.rgba = mass_kg, list(rgba)
    return geom


def fixture(geom: mujoco.MjsGeom, rgba: Colour, friction: float = 0.6) -> mujoco.MjsGeom:
    """Gives a geom colour and the contact of a fixed thing."""
    geom.contype, geom.conaffinity = contact.STATIC
    geom.condim, geom.friction = contact.CONDIM, [friction, 0.005, 1e-4]
    geom.rgba, geom.mass = list(rgba), 0.0
    return geom


def decoration(geom: mujoco.MjsGeom, rgba: Colour) -> mujoco.MjsGeom:
    """Makes a geom visible only: no mass, no contact."""
    geom.contype = geom.conaffinity = 0
    geom.mass, geom.rgba, geom.group = 0.0, list(rgba), 1
    return geom


def hidden(geom: mujoco.MjsGeom) -> mujoco.MjsGeom:
    """Makes a geom that only physics knows: something rounder is drawn in its place."""
    geom.group = 3
    return geom


def turned_mesh(spec: mujoco.MjSpec, name: str, profile_m: Array, sides: int = 48) -> str:
    """Adds what a closed outline leaves behind when it is turned about the z axis, for the eye; returns its name.

    Args:
        spec: the world.
        name: of the mesh.
        profile_m: (K, 2) radius and height of the outline's corners, counter-clockwise with the axis on the left.
        sides: corners round the axis.
    """
    angle = np.arange(sides) * (2 * np.pi / sides)
    corners = len(profile_m)
    vertices = np.array([(r * np.cos(a), r * np.sin(a), z) for a in angle for r, z in profile_m])
    faces = []
    for i in range(sides):
        here, there = i * corners, (i + 1) % sides * corners
        for j in range(corners):
            k = (j + 1) % corners
            faces += [(here + j, there + j, here + k), (here + k, there + j, there + k)]
    spec.add_mesh(name=name, uservert=vertices.astype(np.float32).flatten(), userface=np.array(faces).flatten())
    return name


def add_pose_sensors(spec: mujoco.MjSpec, body: str) -> None:
    """Adds ``<body>/position`` (3) and ``<body>/up`` (3, the body's z axis), world frame."""
    for suffix, kind in (("position", mujoco.mjtSensor.mjSENS_FRAMEPOS), ("up", mujoco.mjtSensor.mjSENS_FRAMEZAXIS)):
        # xbody: the body's own frame; "body" would read the frame of its inertia.
        spec.add_sensor(name=f"{body}/{suffix}", type=kind, objtype=mujoco.mjtObj.mjOBJ_XBODY, objname=body)


def add_table_sensor(spec: mujoco.MjSpec, body: str) -> None:
    """Adds ``<body>/table`` (1): number of contacts between the body and the table."""
    world.add_contact_sensor(
        spec,
        f"{body}/table",
        (mujoco.mjtObj.mjOBJ_XBODY, body),
        (mujoco.mjtObj.mjOBJ_GEOM, names.TABLE_GEOM),
        force=False,
    )


def add_grip_sensors(spec: mujoco.MjSpec, body: str) -> None:
    """Adds the contacts of each digit and of the palm with the object ``body``: see ``GRIP_SENSORS``."""
    xbody, geom = mujoco.mjtObj.mjOBJ_XBODY, mujoco.mjtObj.mjOBJ_GEOM
    for finger in grasp.FINGER_NAMES:
        world.add_contact_sensor(spec, GRIP_SENSORS[finger], (xbody, names.knuckle_body(finger)), (xbody, body))
    world.add_contact_sensor(spec, GRIP_SENSORS["palm"], (geom, names.PALM_GEOM), (xbody, body))


def add_soft_grip_sensors(spec: mujoco.MjSpec, others: Sequence[soft.Side]) -> None:
    """Adds the contacts of each digit and of the palm with the scene's one deformable thing; see ``GRIP_SENSORS``.

    Args:
        spec: the world.
        others: what else is there to be touched, but for the hand itself.
    """
    xbody, geom = mujoco.mjtObj.mjOBJ_XBODY, mujoco.mjtObj.mjOBJ_GEOM
    for finger in grasp.FINGER_NAMES:
        # Fingers meet the thumb, and no other finger.
        facing = [name for name in grasp.FINGER_NAMES if (name == "thumb") != (finger == "thumb")]
        digits = [(xbody, names.knuckle_body(name)) for name in facing]
        soft.add_contact_sensor(
            spec, GRIP_SENSORS[finger], [*others, *digits], first=(xbody, names.knuckle_body(finger))
        )
    soft.add_contact_sensor(spec, GRIP_SENSORS["palm"], others, first=(geom, names.PALM_GEOM))

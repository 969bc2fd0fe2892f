"""A small scene for the simulation core's tests: a cup, or a thin handle on two rests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deft_env.demonstration import Demonstration

mujoco = pytest.importorskip("mujoco")

from deft_env.sim import contact, controls, execute, names, world  # noqa: E402

OBJECT = "thing"
OBJECT_POSITION = "thing_position"


def _add_object(spec: Any, geom_type: Any, size: list[float], z: float, mass: float, friction: float) -> Any:
    body = spec.worldbody.add_body(name=OBJECT, pos=[0.45, 0.0, z])
    body.add_freejoint(name=OBJECT)
    geom = body.add_geom(name=OBJECT, type=geom_type, size=size, mass=mass, rgba=[0.8, 0.15, 0.1, 1.0])
    contact.set_object_contact(geom, friction)
    spec.add_sensor(
        name=OBJECT_POSITION,
        type=mujoco.mjtSensor.mjSENS_FRAMEPOS,
        objtype=mujoco.mjtObj.mjOBJ_XBODY,
        objname=OBJECT,
    )
    return spec


def build_cup(radius_m: float = 0.035, height_m: float = 0.10, mass_kg: float = 0.08, friction: float = 0.6) -> Any:
    """A compiled world with one solid cup at (0.45, 0)."""
    size = [radius_m, height_m / 2, 0.0]
    kind = mujoco.mjtGeom.mjGEOM_CYLINDER
    return _add_object(world.base_spec(), kind, size, height_m / 2, mass_kg, friction).compile()


def build_handle(half_m: float = 0.005, length_m: float = 0.16) -> Any:
    """A compiled world with a 1 cm bar along y that lies on two rests, 3 cm above the table."""
    spec = world.base_spec()
    for y in (-0.07, 0.07):
        rest = spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, pos=[0.45, y, 0.015], size=[0.01, 0.006, 0.015])
        rest.contype, rest.conaffinity = contact.STATIC
    kind = mujoco.mjtGeom.mjGEOM_BOX
    return _add_object(spec, kind, [half_m, length_m / 2, half_m], 0.03 + half_m, 0.04, 0.6).compile()


def grasp_of(mu: tuple[float, float, float], forward: float, pip: float) -> np.ndarray:
    """A (22,) grasp without wrist turn whose four fingers have the same bend."""
    out = np.zeros(22)
    out[:3] = mu
    out[7::4], out[8::4], out[9::4] = forward, pip, 0.7 * pip
    return out


def lift(height_m: float = 0.15) -> Demonstration:
    """A demonstration that raises the hand straight up."""
    steps = np.zeros((40, 6))
    steps[:, 2] = height_m / 40
    return Demonstration("test", steps)


def play(model: Any, grasps: np.ndarray, **keywords: Any) -> tuple[controls.ControlPlan, execute.Playback]:
    """Plans and plays tool-down grasps; ``model`` is one model or a list."""
    plan = controls.plan(grasps, controls.NOMINAL_TOOL_DOWN, lift())
    models = model if isinstance(model, list) else [model] * len(plan.ok)
    pairs = zip(models, plan.arm_qpos, plan.hand_qpos, strict=True)
    qpos = np.stack([execute.robot_qpos(m, m.qpos0, arm, hand) for m, arm, hand in pairs])
    return plan, execute.play(model, qpos, plan.controls, substeps=world.PhysicsOptions().substeps, **keywords)


@pytest.fixture(scope="session")
def cup() -> Any:
    """The default cup's world."""
    return build_cup()


@pytest.fixture(scope="session")
def empty() -> Any:
    """The world without objects."""
    return world.base_spec().compile()


@pytest.fixture(scope="session")
def make_cup() -> Callable[..., Any]:
    """``build_cup``."""
    return build_cup


@pytest.fixture(scope="session")
def make_handle() -> Callable[..., Any]:
    """``build_handle``."""
    return build_handle


@pytest.fixture(scope="session")
def run() -> Callable[..., Any]:
    """``play``."""
    return play


@pytest.fixture(scope="session")
def make_grasp() -> Callable[..., np.ndarray]:
    """``grasp_of``."""
    return grasp_of


@pytest.fixture(scope="session")
def site() -> str:
    """Name of the grasp site (kept here so that tests hold no literals)."""
    return names.GRASP_SITE

"""Things on the table that a task is not about: in the scenes of the test split one stands beside the object.

It is a free body, so a hand can knock it over or be stopped by it, and a camera sees it, so a prior that segments must
tell it from the object. The judges never look at it. It is drawn from a stream of its own: without it, a scene would be
the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from deft_env.tasks.objects import OBJECTS, ObjectSpec

if TYPE_CHECKING:
    import mujoco

    from deft_env.tasks.task import Variant

Array = NDArray[np.float64]

_SQUASHED: Final = 0.88
"""Height of a tomato over its width (assumed); one that is no ball stays where it is put."""
_BLADE_M: Final = (0.0125, 0.0012)
"""Half width and half thickness of the knife's blade (assumed)."""


@dataclass(frozen=True, slots=True)
class Distractor:
    """What stands beside a task's object, and where (our choice: clear of nearly every reference grasp).

    Attributes:
        object: one of ``objects.OBJECTS``; also the name of its body.
        ahead_m: (least, most) distance along the scene's heading from the main frame.
        aside_m: (least, most) distance across it; to which side is drawn.
        turn_rad: most turn against the scene's heading.
    """

    object: str
    ahead_m: tuple[float, float]
    aside_m: tuple[float, float]
    turn_rad: float

    @property
    def spec(self) -> ObjectSpec:
        """The object's data."""
        return OBJECTS[self.object]

    def size(self, variant: Variant) -> dict[str, float]:
        """Dimensions in m: the levels are those of the task's object in reverse, so that models stay few."""
        levels = variant.levels[::-1]
        return self.spec.dimensions(tuple(levels[i % len(levels)] for i in range(len(self.spec.sizes_m))))

    def build(self, spec: mujoco.MjSpec, variant: Variant) -> None:
        """Adds the body, standing on its origin, and the sensor ``<object>/position``."""
        import mujoco

        from deft_env.tasks import shapes

        body = shapes.free_body(spec, self.object)
        {"knife": _knife, "tomato": _tomato, "bag": _bag}[self.spec.family](body, self.spec, self.size(variant))
        spec.add_sensor(
            name=f"{self.object}/position",
            type=mujoco.mjtSensor.mjSENS_FRAMEPOS,
            objtype=mujoco.mjtObj.mjOBJ_XBODY,
            objname=self.object,
        )

    def place(
        self, position_m: Array, yaw_rad: float, generator: np.random.Generator
    ) -> tuple[tuple[Array, Array], float, float]:
        """Draws (position, quaternion wxyz), factor on the mass, and sliding friction.

        Args:
            position_m: (3,) of the scene's main frame.
            yaw_rad: its heading.
            generator: of the distractor alone.
        """
        from deft_env.tasks import shapes

        side = 1.0 if generator.integers(2) else -1.0
        offset = np.array([generator.uniform(*self.ahead_m), side * generator.uniform(*self.aside_m), 0.0])
        turn = yaw_rad + generator.uniform(-self.turn_rad, self.turn_rad)
        pose = (position_m + shapes.turn(yaw_rad, offset), shapes.yaw_quaternion(turn))
        mass = float(generator.uniform(*self.spec.mass_kg) / np.mean(self.spec.mass_kg))
        return pose, mass, float(generator.uniform(*self.spec.friction))


def _knife(body: mujoco.MjsBody, look: ObjectSpec, size: dict[str, float]) -> None:
    """A table knife lying flat along x: a round handle, a thin blade that rests on its edge's end."""
    import mujoco

    from deft_env.tasks import shapes

    radius, length = size["handle_radius"], size["length"]
    mass, friction = float(np.mean(look.mass_kg)), float(np.mean(look.friction))
    half, width, thick = length / 2, *_BLADE_M
    handle = body.add_geom(
        name=f"{look.name}_handle",
        type=mujoco.mjtGeom.mjGEOM_CAPSULE,
        fromto=[radius - half, 0, radius, -radius, 0, radius],
        size=[radius, 0, 0],
    )
    shapes.touchable(handle, friction, 0.6 * mass, look.rgba[0])
    # The blade slopes from the handle's middle down to the table, so that the knife lies still on both.
    drop = radius - thick
    slope = float(np.arctan2(drop, half))
    blade = body.add_geom(
        name=f"{look.name}_blade",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=[half / 2, 0, thick + drop / 2],
        quat=[np.cos(slope / 2), 0, np.sin(slope / 2), 0],
        size=[half / 2, width, thick],
    )
    shapes.touchable(blade, friction, 0.4 * mass, look.rgba[1])


def _tomato(body: mujoco.MjsBody, look: ObjectSpec, size: dict[str, float]) -> None:
    """A slightly flat ball with a green star on top."""
    import mujoco

    from deft_env.tasks import shapes

    radius, height = size["radius"], _SQUASHED * size["radius"]
    ellipsoid = mujoco.mjtGeom.mjGEOM_ELLIPSOID
    ball = body.add_geom(name=look.name, type=ellipsoid, pos=[0, 0, height], size=[radius, radius, height])
    shapes.touchable(ball, float(np.mean(look.friction)), float(np.mean(look.mass_kg)), look.rgba[0])
    for turn in (0.0, np.pi / 3, 2 * np.pi / 3):
        quat = [np.cos(turn / 2), 0, 0, np.sin(turn / 2)]
        leaf = body.add_geom(type=ellipsoid, pos=[0, 0, 1.97 * height], quat=quat, size=[0.5 * radius, 0.003, 0.0025])
        shapes.decoration(leaf, look.rgba[1])


def _bag(body: mujoco.MjsBody, look: ObjectSpec, size: dict[str, float]) -> None:
    """A full paper bag, standing: a block with a band round it and a folded top."""
    import mujoco

    from deft_env.tasks import shapes

    box = mujoco.mjtGeom.mjGEOM_BOX
    x, y, z = size["depth"] / 2, size["width"] / 2, size["height"] / 2
    block = body.add_geom(name=look.name, type=box, pos=[0, 0, z], size=[x, y, z])
    shapes.touchable(block, float(np.mean(look.friction)), float(np.mean(look.mass_kg)), look.rgba[0])
    band = body.add_geom(type=box, pos=[0, 0, 0.9 * z], size=[x + 0.0005, y + 0.0005, 0.35 * z])
    shapes.decoration(band, look.rgba[1])
    fold = body.add_geom(type=box, pos=[0, 0, 2 * z + 0.004], size=[0.25 * x, 0.9 * y, 0.004])
    shapes.decoration(fold, look.rgba[0])

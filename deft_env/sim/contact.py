"""Who collides with whom, and what surfaces are like: collision bits and contact parameters in one place.

Two geoms collide if one's type meets the other's affinity. Pairs that collide: fingers, thumb, palm and arm each with
objects and with fixed things; fingers with the thumb; objects with objects and fixed things. Pairs that do not: finger
with finger, hand with arm, arm with itself.
"""

from __future__ import annotations

from typing import Final

import mujoco

_FINGER: Final = 1
_THUMB: Final = 2
_OBJECT: Final = 4
_STATIC: Final = 8
_ARM: Final = 16

FINGER: Final = (_FINGER, _OBJECT | _STATIC | _THUMB)
"""(contype, conaffinity) of the three fingers' links."""
THUMB: Final = (_THUMB, _OBJECT | _STATIC | _FINGER)
PALM: Final = (_ARM, _OBJECT | _STATIC)
ARM: Final = (_ARM, _OBJECT | _STATIC)
OBJECT: Final = (_OBJECT, _OBJECT | _STATIC | _FINGER | _THUMB | _ARM)
"""Anything that can move and be touched: cups, spoons, a drawer's box."""
STATIC: Final = (_STATIC, _OBJECT | _FINGER | _THUMB | _ARM)
"""Anything that never moves: the table, a drawer's frame."""

CONDIM: Final = 4
RUBBER_FRICTION: Final = (1.1, 0.01, 0.0001)
"""Sliding, torsional (m), rolling (m) friction of the finger's rubber (assumed)."""
TABLE_FRICTION: Final = (0.6, 0.005, 0.0001)
SOLREF: Final = (0.01, 1.0)
SOLIMP: Final = (0.85, 0.95, 0.002, 0.5, 2.0)
"""Soft contact of rubber: time constant 10 ms, 2 mm wide impedance (prototype's values)."""


def set_object_contact(geom: mujoco.MjsGeom, friction: float, *, torsion_m: float = 0.01) -> None:
    """Makes ``geom`` a touchable moving object whose ``friction`` decides every contact that it has.

    MuJoCo takes the larger friction of two geoms, so a rubber finger would hide a slippery object; an object therefore
    has priority, and its coefficient is that of the pair (object on rubber, and object on table).
    """
    geom.contype, geom.conaffinity = OBJECT
    geom.priority, geom.condim = 1, CONDIM
    geom.friction = [friction, torsion_m, 1e-4]
    geom.solref, geom.solimp = list(SOLREF), list(SOLIMP)

"""The thirteen objects of the paper's photograph (Fig. 4) as data: shape, size range, mass, friction, look.

Every figure is assumed unless PROVENANCE.md says otherwise. Sizes come in ``SIZE_LEVELS`` equal steps a dimension, so
that a scene's model can be compiled once and kept; mass and friction are continuous.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

SIZE_LEVELS: Final = 5
"""Steps between the smallest and the largest of every dimension."""

Range = tuple[float, float]
Colour = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class ObjectSpec:
    """One object.

    Attributes:
        name: unique, snake case.
        family: the builder in ``shapes.py`` that makes it.
        sizes_m: dimension -> (smallest, largest), m.
        mass_kg: (lightest, heaviest).
        friction: (least, most) sliding friction of rubber or table on it.
        rgba: its colours, first the main one.
    """

    name: str
    family: str
    sizes_m: Mapping[str, Range]
    mass_kg: Range
    friction: Range
    rgba: tuple[Colour, ...]

    def dimensions(self, levels: tuple[int, ...]) -> dict[str, float]:
        """Sizes (m) at one level (0 … SIZE_LEVELS - 1) a dimension, in the order of ``sizes_m``."""
        return {
            name: low + (high - low) * level / (SIZE_LEVELS - 1)
            for (name, (low, high)), level in zip(self.sizes_m.items(), levels, strict=True)
        }

    def draw_levels(self, generator: np.random.Generator) -> tuple[int, ...]:
        """Uniform levels, one a dimension; independent of each other up to three dimensions, beyond that in pairs.

        Four or five dimensions would make 625 or 3125 sizes, so that nearly every scene had to be compiled. The levels
        of an orthogonal array of strength 2 make 25, in which every pair of levels of any two dimensions is as frequent
        as every other.
        """
        first, *others = (int(v) for v in generator.integers(0, SIZE_LEVELS, len(self.sizes_m)))
        if len(others) <= 2:
            return first, *others
        # Prime, so that these sums run through all levels for either number.
        second = others[0]
        return first, *((factor * first + second) % SIZE_LEVELS for factor in range(len(others)))


_RED: Final = (0.80, 0.12, 0.12, 1.0)
_BLUE: Final = (0.16, 0.33, 0.72, 1.0)
_WHITE: Final = (0.93, 0.93, 0.91, 1.0)
_CLEAR: Final = (0.62, 0.80, 0.88, 0.75)
_STEEL: Final = (0.70, 0.72, 0.75, 1.0)
_WOOD: Final = (0.72, 0.50, 0.28, 1.0)
_BLACK: Final = (0.12, 0.12, 0.13, 1.0)
_GREEN: Final = (0.45, 0.62, 0.20, 1.0)
_PURPLE: Final = (0.36, 0.14, 0.38, 1.0)
_YELLOW: Final = (0.95, 0.82, 0.20, 1.0)
_BREAD: Final = (0.80, 0.58, 0.32, 1.0)
_CRUMB: Final = (0.95, 0.88, 0.70, 1.0)

_SPECS: Final = (
    ObjectSpec(
        "solo_cup",
        "cup",
        {"bottom_radius": (0.029, 0.032), "top_radius": (0.041, 0.046), "height": (0.110, 0.120)},
        (0.12, 0.25),
        (0.40, 0.60),
        (_RED, _WHITE),
    ),
    ObjectSpec(
        "blue_cup",
        "cup",
        {"bottom_radius": (0.034, 0.038), "top_radius": (0.034, 0.038), "height": (0.090, 0.105)},
        (0.15, 0.30),
        (0.40, 0.60),
        (_BLUE, _BLACK),
    ),
    ObjectSpec(
        "white_drawer",
        "drawer",
        {"knob_radius": (0.009, 0.012), "knob_length": (0.024, 0.030), "height": (0.11, 0.13)},
        (0.25, 0.45),
        (0.45, 0.75),
        (_WHITE, _BLACK),
    ),
    ObjectSpec(
        "acrylic_drawer",
        "drawer",
        {"knob_radius": (0.011, 0.014), "knob_length": (0.022, 0.027), "height": (0.10, 0.12)},
        (0.20, 0.40),
        (0.40, 0.65),
        (_CLEAR, _STEEL),
    ),
    ObjectSpec(
        "wooden_spoon",
        "spoon",
        {"handle_radius": (0.0065, 0.0085), "length": (0.19, 0.23), "bowl": (0.022, 0.027)},
        (0.025, 0.045),
        (0.6, 0.9),
        (_WOOD, _WOOD),
    ),
    ObjectSpec(
        "steel_spoon",
        "spoon",
        {"handle_radius": (0.0055, 0.0070), "length": (0.17, 0.20), "bowl": (0.020, 0.024)},
        (0.030, 0.055),
        (0.45, 0.7),
        (_STEEL, _BLACK),
    ),
    ObjectSpec(
        "grapes",
        "grapes",
        {"berry_radius": (0.009, 0.011)},
        (0.020, 0.035),
        (0.5, 0.8),
        (_GREEN, _WOOD),
    ),
    ObjectSpec(
        "pot", "pot", {"radius": (0.075, 0.090), "height": (0.055, 0.070)}, (0.6, 0.9), (0.5, 0.8), (_STEEL, _BLACK)
    ),
    ObjectSpec(
        "glass_juicer",
        "juicer",
        {"base_radius": (0.032, 0.036), "reamer_height": (0.090, 0.100)},
        (0.3, 0.5),
        (0.6, 0.9),
        (_CLEAR, _CLEAR),
    ),
    ObjectSpec(
        "plastic_juicer",
        "juicer",
        {"base_radius": (0.036, 0.040), "reamer_height": (0.088, 0.095)},
        (0.2, 0.4),
        (0.5, 0.8),
        (_YELLOW, _WHITE),
    ),
    ObjectSpec("half_lemon", "lemon", {"radius": (0.029, 0.033)}, (0.04, 0.07), (0.6, 0.9), (_YELLOW, _CRUMB)),
    ObjectSpec(
        "pan_spatula_bagel",
        "bagel_set",
        {"pan_radius": (0.120, 0.130), "handle_radius": (0.009, 0.012), "bagel_radius": (0.042, 0.048)},
        (0.05, 0.08),
        (0.8, 1.2),
        (_BLACK, _WOOD, _BREAD, _CRUMB),
    ),
    ObjectSpec(
        "knife",
        "knife",
        {"handle_radius": (0.008, 0.010), "length": (0.20, 0.24)},
        (0.06, 0.11),
        (0.5, 0.8),
        (_BLACK, _STEEL),
    ),
    ObjectSpec("toy_tomato", "tomato", {"radius": (0.028, 0.033)}, (0.03, 0.07), (0.6, 0.9), (_RED, _GREEN)),
    ObjectSpec(
        "sugar_bag",
        "bag",
        {"width": (0.055, 0.065), "depth": (0.045, 0.052), "height": (0.10, 0.12)},
        (0.15, 0.35),
        (0.5, 0.8),
        (_WHITE, _BLUE),
    ),
    ObjectSpec(
        "purple_grapes", "grapes", {"berry_radius": (0.010, 0.012)}, (0.025, 0.040), (0.5, 0.8), (_PURPLE, _WOOD)
    ),
)


def _stir_set(name: str, spoon: str, length_m: Range, pot_rgba: tuple[Colour, Colour]) -> ObjectSpec:
    """A pot with a long-handled stirring version of a spoon: mass and friction are the spoon's, the pot stands fast."""
    parts = {spec.name: spec for spec in _SPECS}
    pot, tool = parts["pot"], parts[spoon]
    sizes = {**tool.sizes_m, "length": length_m, "pot_radius": pot.sizes_m["radius"], "pot_height": (0.070, 0.085)}
    return ObjectSpec(name, "stir_set", sizes, tool.mass_kg, tool.friction, (*tool.rgba, *pot_rgba))


def _scoop_set(
    name: str, spoon: str, grapes: str, length_m: Range, mass_kg: Range, friction: Range, dish_rgba: Colour
) -> ObjectSpec:
    """A dish with single grapes and a short, flat-sided version of a spoon, whose mass and friction it has."""
    parts = {spec.name: spec for spec in _SPECS}
    tool, berries = parts[spoon], parts[grapes]
    sizes = {**tool.sizes_m, "length": length_m, **berries.sizes_m}
    return ObjectSpec(name, "scoop_set", sizes, mass_kg, friction, (*tool.rgba, dish_rgba, berries.rgba[0]))


def _lemon_set(name: str, juicer: str, friction: Range, juicer_rgba: tuple[Colour, Colour]) -> ObjectSpec:
    """A juicer with half a lemon: mass and friction are the lemon's, the juicer stands fast."""
    parts = {spec.name: spec for spec in _SPECS}
    lemon = parts["half_lemon"]
    sizes = {"lemon_radius": lemon.sizes_m["radius"], **parts[juicer].sizes_m}
    return ObjectSpec(name, "lemon_set", sizes, lemon.mass_kg, friction, (*lemon.rgba, *juicer_rgba))


def _flip_set(name: str, handle_m: Range, bagel_m: Range, friction: Range, rgba: tuple[Colour, ...]) -> ObjectSpec:
    """The pan, spatula and bagel: masses are relative, of spatula and bagel alike; the pan stands fast."""
    pan = {spec.name: spec for spec in _SPECS}["pan_spatula_bagel"]
    sizes = {"pan_radius": pan.sizes_m["pan_radius"], "handle_radius": handle_m, "bagel_radius": bagel_m}
    return ObjectSpec(name, "flip_set", sizes, pan.mass_kg, friction, rgba)


def _bunch(name: str, grapes: str, berry_m: Range, mass_kg: Range, friction: Range) -> ObjectSpec:
    """Six large grapes of a kind on a stalk, on a stand: mass is the bunch's."""
    look = {spec.name: spec for spec in _SPECS}[grapes]
    return ObjectSpec(name, "bunch", {"berry_radius": berry_m}, mass_kg, friction, (*look.rgba, _WHITE))


_TALL_BLUE_CUP: Final = ObjectSpec(
    "tall_blue_cup",
    "cup",
    {"bottom_radius": (0.028, 0.031), "top_radius": (0.043, 0.048), "height": (0.115, 0.125)},
    (0.15, 0.30),
    (0.35, 0.50),
    (_BLUE, _BLACK),
)
"""The blue cup as Pour Cup has it: tapered, or turning it over in the hand is far easier than with the training cup."""
_SETS: Final = (
    _TALL_BLUE_CUP,
    _stir_set("pot_and_wooden_spoon", "wooden_spoon", (0.215, 0.235), (_STEEL, _BLACK)),
    _stir_set("pot_and_steel_spoon", "steel_spoon", (0.195, 0.215), (_BLUE, _WHITE)),
    _flip_set(
        "black_pan_and_bagel",
        (0.010, 0.012),
        (0.042, 0.046),
        (0.8, 1.2),
        (_BLACK, _BLACK, _STEEL, _WOOD, _WOOD, _BREAD, _CRUMB),
    ),
    _flip_set(
        "steel_pan_and_bagel",
        (0.009, 0.011),
        (0.045, 0.048),
        (0.7, 1.0),
        (_STEEL, _BLACK, _BLACK, _BLACK, _WHITE, (0.55, 0.34, 0.16, 1.0), _CRUMB),
    ),
    _bunch("green_bunch", "grapes", (0.0115, 0.0130), (0.035, 0.050), (0.7, 1.0)),
    _bunch("purple_bunch", "purple_grapes", (0.0120, 0.0135), (0.040, 0.055), (0.6, 0.9)),
    _lemon_set("glass_juicer_and_lemon", "glass_juicer", (0.7, 1.0), (_CLEAR, _WHITE)),
    _lemon_set("plastic_juicer_and_lemon", "plastic_juicer", (0.6, 0.9), (_GREEN, _GREEN)),
    _scoop_set("dish_and_wooden_spoon", "wooden_spoon", "grapes", (0.200, 0.212), (0.020, 0.035), (0.65, 0.9), _WHITE),
    _scoop_set(
        "dish_and_steel_spoon", "steel_spoon", "purple_grapes", (0.192, 0.204), (0.025, 0.040), (0.55, 0.75), _YELLOW
    ),
)
"""Groups of the thirteen objects that a task places together, and versions of them that one task has."""

OBJECTS: Final[dict[str, ObjectSpec]] = {spec.name: spec for spec in (*_SPECS, *_SETS)}
"""Every object by name."""


def register_object(spec: ObjectSpec) -> None:
    """Adds an object for a task of one's own; call it where that module is imported, so that workers have it too.

    Raises:
        ValueError: if another object has this name.
    """
    if OBJECTS.setdefault(spec.name, spec) != spec:
        raise ValueError(f"object {spec.name!r} is already registered; choose another name")

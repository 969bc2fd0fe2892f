"""What a task is: a scene, a person's grasp of it, a demonstration, and a judge that sees sensor series alone."""

from __future__ import annotations

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp
from deft_env.demonstration import Demonstration
from deft_env.episode import EpisodeKey
from deft_env.rigs.rig import PriorError
from deft_env.tasks import soft
from deft_env.tasks.distractors import Distractor
from deft_env.tasks.objects import OBJECTS, ObjectSpec

if TYPE_CHECKING:
    import mujoco
    from mujoco.batch import Batch

Array = NDArray[np.float64]
Signals = Mapping[str, Array]


def hand_nominal(tilt_deg: float) -> Array:
    """R_nominal (3, 3) of a right hand whose fingers point forward (base +x) and ``tilt_deg`` below the horizontal.

    The thumb is on the robot's left (base +y); 0 is a hand that reaches forward, 90 a claw that points straight down.
    """
    c, s = np.cos(np.deg2rad(tilt_deg)), np.sin(np.deg2rad(tilt_deg))
    return np.array([[0.0, s, c], [1.0, 0.0, 0.0], [0.0, c, -s]])


PHASE_SIGNAL: Final = "phase"
"""Series (T, 1) that every rig adds: index into ``judging.PHASES`` of each control tick."""
FAST_PHYSICS: Final[Mapping[str, Any]] = {"integrator": "discrete", "timestep_s": 0.010}
"""Less than half the cost of the default; for tasks whose rates it leaves within noise of a 2 ms step."""
SPARSE_PHYSICS: Final[Mapping[str, Any]] = {**FAST_PHYSICS, "jacobian": "sparse"}
"""The same equations, solved by sparse matrices: in some tasks a sixth to a third cheaper, with outcomes within noise
(docs/performance.md); not in all."""
_DESCRIPTOR_SCALE: Final = np.sqrt(12.0)


@dataclass(frozen=True, slots=True)
class Variant:
    """What a compiled model depends on: the object and its size levels; equal variants share a model."""

    object: str
    levels: tuple[int, ...]

    @property
    def spec(self) -> ObjectSpec:
        """The object's data."""
        return OBJECTS[self.object]

    @property
    def size(self) -> dict[str, float]:
        """Dimensions in m, by name."""
        return self.spec.dimensions(self.levels)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Everything random about one episode's world.

    Attributes:
        variant: decides the compiled model.
        position_m: (3,) of the task's main frame on the table, robot base frame.
        yaw_rad: heading of the main frame.
        poses: body name -> (position (3,), quaternion wxyz (4,)): free bodies start there, fixed bodies stand there.
        mass_scale: body name -> factor on its mass and inertia.
        friction: body name -> sliding friction of its geoms.
        descriptor: (d,) zero mean, unit variance over scenes: what a context-dependent prior error follows.
    """

    variant: Variant
    position_m: Array
    yaw_rad: float
    poses: Mapping[str, tuple[Array, Array]]
    mass_scale: Mapping[str, float]
    friction: Mapping[str, float]
    descriptor: Array = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True, slots=True)
class Breakable:
    """An equality constraint that is switched off for good once it is stretched too far, looked at every tick.

    Attributes:
        equality: its name.
        sensor: name of a sensor of three numbers, whose length is the stretch.
        limit_m: stretch above which it breaks.
    """

    equality: str
    sensor: str
    limit_m: float


@dataclass(frozen=True, slots=True)
class Randomisation:
    """Where and how a scene is placed; uniform in each range (our choice, see the task's docstring).

    Attributes:
        centre_m: middle of the placement box on the table.
        half_m: half-widths of the placement box (x, y).
        yaw_rad: (least, most) heading.
    """

    centre_m: tuple[float, float] = (0.45, 0.0)
    half_m: tuple[float, float] = (0.05, 0.08)
    yaw_rad: tuple[float, float] = (-0.5, 0.5)


class Task(ABC):
    """One of the nine tasks; a subclass is one file.

    Attributes:
        name: as in the Gymnasium id.
        instruction: what a person would say.
        train, test: names of the objects of each split, different in shape and look.
        nominal_rotation: (3, 3) R_nominal, the orientation at which the wrist angles are zero.
        randomisation: placement of the scene.
        distractor: what else stands on the table in scenes of the test split.
        breakables: constraints that break when they are stretched.
        physics: solver settings that differ from ``PhysicsOptions``' defaults (chosen by the study in
            docs/performance.md).
        deformable: whether something in it can be made deformable.
        soft: whether it is: for evaluation and pictures, at several times the cost (``SimulatedRig(soft=True)``).
    """

    name: ClassVar[str]
    instruction: ClassVar[str]
    train: ClassVar[tuple[str, ...]]
    test: ClassVar[tuple[str, ...]]
    nominal_rotation: ClassVar[Array] = hand_nominal(90.0)
    randomisation: ClassVar[Randomisation] = Randomisation()
    distractor: ClassVar[Distractor | None] = None
    breakables: ClassVar[tuple[Breakable, ...]] = ()
    physics: ClassVar[Mapping[str, Any]] = {}
    deformable: ClassVar[bool] = False
    soft: bool = False

    @property
    def solver(self) -> Mapping[str, Any]:
        """Solver settings of the version at hand, rigid or soft."""
        return soft.PHYSICS if self.soft else self.physics

    # --- data -------------------------------------------------------------------------------------------------------
    @property
    def data_name(self) -> str:
        """Stem of the task's data files: the name in snake case."""
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in self.name).lstrip("_")

    @property
    def data_folder(self) -> Path:
        """Folder of the task's data files: ``data`` beside the module of its class, also in another package.

        A class without files of its own name there takes those of the class that it derives from.
        """
        folders = [
            Path(file).parent / "data"
            for kind in type(self).__mro__
            if (file := getattr(sys.modules.get(kind.__module__), "__file__", None)) is not None
        ]
        names = (f"{self.data_name}.json", f"{self.data_name}.demonstration.json")
        return next((f for f in folders if any((f / name).is_file() for name in names)), folders[0])

    @cached_property
    def data(self) -> dict[str, Any]:
        """The task's figures that were found by measurement: reference grasps and the prior's calibration."""
        text = (self.data_folder / f"{self.data_name}.json").read_text(encoding="utf-8")
        loaded: dict[str, Any] = json.loads(text)
        return loaded

    @cached_property
    def demonstration(self) -> Demonstration:
        """The post-grasp trajectory tau of this task."""
        return Demonstration.load(self.data_folder / f"{self.data_name}.demonstration.json")

    @cached_property
    def prior_error(self) -> PriorError:
        """The simulated prior's calibrated error, the same for every agent."""

        def vector(entries: Mapping[str, float]) -> Array:
            out = np.zeros(grasp.DIM)
            for name, value in entries.items():
                out[grasp.GROUPS[name] if name in grasp.GROUPS else grasp.NAMES.index(name)] = value
            return out

        errors = self.data["prior_error_sigma"]
        return PriorError(vector(errors["common"]), vector(errors["dependent"]), vector(errors["noise"]))

    def objects(self, split: str) -> tuple[ObjectSpec, ...]:
        """The objects of a split."""
        return tuple(OBJECTS[name] for name in (self.train if split == "train" else self.test))

    # --- the scene --------------------------------------------------------------------------------------------------
    @abstractmethod
    def build(self, spec: mujoco.MjSpec, variant: Variant) -> None:
        """Adds the objects of ``variant`` and the task's sensors to the workplace ``spec``."""

    def build_distractor(self, spec: mujoco.MjSpec, variant: Variant) -> None:
        """Adds the task's distractor where ``variant`` is of the test split; ``build`` calls it last."""
        if self.distractor is not None and variant.object in self.test:
            self.distractor.build(spec, variant)

    @abstractmethod
    def arrange(self, scene: Scene, generator: np.random.Generator) -> Mapping[str, tuple[Array, Array]]:
        """Poses of the bodies (position, quaternion wxyz) for a drawn scene; jitter between parts is drawn here."""

    @property
    @abstractmethod
    def bodies(self) -> tuple[str, ...]:
        """Names of the bodies whose mass and friction vary."""

    def tick(self, models: Sequence[mujoco.MjModel]) -> Callable[[Batch, int], None] | None:
        """What happens in this task's worlds beyond physics; None if nothing does.

        By default ``breakables`` break. A rig that can do that faster, or on a GPU, does it itself and does not call
        this; a task that overrides this leaves ``breakables`` empty.

        Args:
            models: those of the N worlds that will be played together.

        Returns:
            A function called as ``tick(batch, index)`` after every control tick. It treats the worlds elementwise, so
            that what happens in one depends on nothing but that world.
        """
        if not self.breakables:
            return None
        from deft_env.sim import breaks

        return breaks.tick(models[0], self.breakables)

    def draw(self, key: EpisodeKey) -> Scene:
        """Draws the scene of an episode: object, size, place, heading, mass, friction; a function of the key alone."""
        generator = key.generator("scene")
        specs = self.objects(key.split)
        spec = specs[int(generator.integers(len(specs)))]
        levels = spec.draw_levels(generator)
        u = generator.uniform(-0.5, 0.5, size=5)
        place = self.randomisation
        position = np.array(
            [place.centre_m[0] + 2 * u[0] * place.half_m[0], place.centre_m[1] + 2 * u[1] * place.half_m[1], 0.0]
        )
        low, high = place.yaw_rad
        yaw = low + (high - low) * (u[2] + 0.5)
        mass = spec.mass_kg[0] + (spec.mass_kg[1] - spec.mass_kg[0]) * (u[3] + 0.5)
        friction = spec.friction[0] + (spec.friction[1] - spec.friction[0]) * (u[4] + 0.5)
        size = (np.array(levels[:1], dtype=np.float64) / 4.0 - 0.5) * (_DESCRIPTOR_SCALE * 0.816)
        scene = Scene(
            variant=Variant(spec.name, levels),
            position_m=position,
            yaw_rad=float(yaw),
            poses={},
            mass_scale={body: mass / np.mean(spec.mass_kg) for body in self.bodies},
            friction={body: float(friction) for body in self.bodies},
            descriptor=np.concatenate([u[:3] * _DESCRIPTOR_SCALE, size]),
        )
        poses = dict(self.arrange(scene, generator))
        masses, frictions = dict(scene.mass_scale), dict(scene.friction)
        if self.distractor is not None and key.split == "test":
            name = self.distractor.object
            poses[name], masses[name], frictions[name] = self.distractor.place(
                position, scene.yaw_rad, key.generator("distractor")
            )
        return Scene(scene.variant, position, scene.yaw_rad, poses, masses, frictions, scene.descriptor)

    # --- the person's grasp -----------------------------------------------------------------------------------------
    @abstractmethod
    def grasp_frame(self, scene: Scene) -> tuple[Array, float]:
        """The point (3,) that a person would grasp and the heading (rad) of the grasp, before the fine offsets."""

    def human_grasp(self, scene: Scene) -> Array:
        """How a person would grasp this scene, retargeted without error, (22,); the reference of calibration and tests.

        The fine offsets, found by ``python -m deft_experiments.reference``, are data: ``offset_m`` in the heading's
        frame, ``wrist_rad`` added to (0, 0, heading), ``fingers_rad`` per joint name; an object's own entry wins over
        ``"default"``.
        """
        point, heading = self.grasp_frame(scene)
        entry = {**self.data["reference"]["default"], **self.data["reference"].get(scene.variant.object, {})}
        c, s = np.cos(heading), np.sin(heading)
        offset = np.asarray(entry["offset_m"], dtype=np.float64)
        out = np.zeros(grasp.DIM)
        out[grasp.MU] = point + np.array([c * offset[0] - s * offset[1], s * offset[0] + c * offset[1], offset[2]])
        out[grasp.WRIST] = np.asarray(entry["wrist_rad"]) + np.array([0.0, 0.0, heading])
        out[grasp.FINGERS] = [entry["fingers_rad"][name] for name in grasp.JOINT_NAMES]
        return out

    def signals(self, sensors: Signals) -> Signals:
        """What the judge is shown of the sensors: all, and in the soft version what rigid bodies would have sensed."""
        return soft.combine(sensors) if self.soft else sensors

    # --- the judge: functions of the signals alone -------------------------------------------------------------------
    @abstractmethod
    def success(self, signals: Signals) -> bool:
        """The task's boolean (paper, appendix F)."""

    @abstractmethod
    def score(self, signals: Signals) -> float:
        """The rubric that an operator would use, in [0, 1]."""

    @abstractmethod
    def subgoals(self, signals: Signals) -> dict[str, bool]:
        """Sub-goals in words, in order, reached or not."""

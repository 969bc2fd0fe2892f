"""The empty workplace: table, light, camera, arm and hand, base sensors; tasks add their objects to it.

The world frame is the robot's base frame; the table top is z = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import atan, degrees
from typing import Final

import mujoco
import numpy as np
from numpy.typing import NDArray

from deft_env.sim import contact, names
from deft_env.sim.arm import add_arm
from deft_env.sim.hand import add_hand

IMAGE_WIDTH: Final = 640
IMAGE_HEIGHT: Final = 480
FOCAL_PX: Final = 615.0
"""Focal length of a D435's colour stream at 640 x 480 (assumed camera)."""
FOVY_DEG: Final = degrees(2.0 * atan(IMAGE_HEIGHT / (2.0 * FOCAL_PX)))
EGO_POSITION_M: Final = (0.86, 0.0, 0.62)
EGO_TARGET_M: Final = (0.42, 0.0, 0.04)
FILM_POSITION_M: Final = (0.52, -0.80, 0.40)
FILM_TARGET_M: Final = (0.40, 0.0, 0.13)
TABLE_HALF_M: Final = (0.75, 0.75, 0.02)
TABLE_CENTRE_M: Final = (0.35, 0.0, -0.02)
STRIKE_LIMIT_N: Final = 120.0
"""Force between table and hand, or table and arm, above which an episode is ``failed: collision`` (our choice).

The real arm's controller stops on an abnormal current. Measured here: fingers pressed 1 cm further down than first
contact push with about 90 N, 2 cm with 180 N; a palm driven into the table exceeds 1 kN.
"""

_JACOBIANS: Final = {
    "auto": mujoco.mjtJacobian.mjJAC_AUTO,
    "dense": mujoco.mjtJacobian.mjJAC_DENSE,
    "sparse": mujoco.mjtJacobian.mjJAC_SPARSE,
}


@dataclass(frozen=True, slots=True)
class PhysicsOptions:
    """Solver settings of every simulated episode (our choice, after measurements in a prototype).

    Attributes:
        timestep_s: step of the integrator; ``control_period_s`` must be a whole multiple.
        control_period_s: period of control and of recorded signals.
        integrator: ``"implicitfast"`` (rigid) or ``"discrete"`` (needed by flexible bodies).
        impratio: friction-to-normal impedance; 10 keeps a held cup from creeping.
        iterations: Newton iterations at most.
        cone: friction cone, ``"elliptic"`` or ``"pyramidal"``.
        jacobian: matrices of the constraints, ``"auto"`` (MuJoCo's choice: dense below 60 degrees of freedom),
            ``"dense"`` or ``"sparse"``: the same equations at different cost; the solver stops at forces that differ
            by some newtons where several contacts share a load.
    """

    timestep_s: float = 0.004
    control_period_s: float = 0.020
    integrator: str = "implicitfast"
    impratio: float = 10.0
    iterations: int = 100
    cone: str = "elliptic"
    jacobian: str = "auto"

    def __post_init__(self) -> None:
        ratio = self.control_period_s / self.timestep_s
        if self.timestep_s <= 0 or abs(ratio - round(ratio)) > 1e-9 or ratio < 0.5:
            raise ValueError(
                f"timestep_s: control_period_s must be a whole multiple of it, got {self.timestep_s} and "
                f"{self.control_period_s}"
            )
        if self.integrator not in ("implicitfast", "discrete"):
            raise ValueError(f"integrator: expected 'implicitfast' or 'discrete', got {self.integrator!r}")
        if self.cone not in ("elliptic", "pyramidal"):
            raise ValueError(f"cone: expected 'elliptic' or 'pyramidal', got {self.cone!r}")
        if self.jacobian not in _JACOBIANS:
            raise ValueError(f"jacobian: expected one of {', '.join(_JACOBIANS)}, got {self.jacobian!r}")

    @property
    def substeps(self) -> int:
        """Physics steps in one control period."""
        return round(self.control_period_s / self.timestep_s)


def look_at(position_m: tuple[float, float, float], target_m: tuple[float, float, float]) -> NDArray[np.float64]:
    """Returns T_base_cam (4, 4) of a camera without roll, in OpenCV axes: x right, y down, z forward."""
    position, target = np.asarray(position_m), np.asarray(target_m)
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.column_stack([right, np.cross(forward, right), forward])
    pose[:3, 3] = position
    return pose


def camera_matrix() -> NDArray[np.float64]:
    """Intrinsics K (3, 3) of the 640 x 480 picture, px; pixel (0, 0) has its centre at (0.5, 0.5)."""
    return np.array([[FOCAL_PX, 0, IMAGE_WIDTH / 2], [0, FOCAL_PX, IMAGE_HEIGHT / 2], [0, 0, 1.0]])


def ego_pose() -> NDArray[np.float64]:
    """T_base_cam (4, 4) of the ego camera (OpenCV axes)."""
    return look_at(EGO_POSITION_M, EGO_TARGET_M)


def _camera(spec: mujoco.MjSpec, name: str, pose: NDArray[np.float64]) -> None:
    quat = np.zeros(4)
    # MuJoCo's camera looks along -z with y up: OpenCV's y and z turned round.
    mujoco.mju_mat2Quat(quat, (pose[:3, :3] * np.array([1.0, -1.0, -1.0])).flatten())
    spec.worldbody.add_camera(name=name, pos=pose[:3, 3], quat=quat, fovy=FOVY_DEG)


def add_contact_sensor(
    spec: mujoco.MjSpec,
    name: str,
    first: tuple[mujoco.mjtObj, str],
    second: tuple[mujoco.mjtObj, str],
    *,
    force: bool = True,
) -> None:
    """Adds a contact sensor between two things.

    Args:
        spec: the world.
        name: name of the sensor; its series has columns found (count of contacts) and, with ``force``, the net force
            on ``second`` (N, world frame).
        first: kind and name: ``mjOBJ_GEOM``, ``mjOBJ_BODY`` (that body alone) or ``mjOBJ_XBODY`` (body and
        descendants).
        second: likewise.
        force: whether to report the force as well.
    """
    found, newtons, netforce = 1, 2, 3
    spec.add_sensor(
        name=name,
        type=mujoco.mjtSensor.mjSENS_CONTACT,
        objtype=first[0],
        objname=first[1],
        reftype=second[0],
        refname=second[1],
        intprm=[found | newtons, netforce, 1] if force else [found, 0, 1],
    )


def _base_sensors(spec: mujoco.MjSpec) -> None:
    joint, site, xbody = mujoco.mjtObj.mjOBJ_JOINT, mujoco.mjtObj.mjOBJ_SITE, mujoco.mjtObj.mjOBJ_XBODY
    for sensor, target in zip(
        (*names.ARM_POSITION_SENSORS, *names.HAND_POSITION_SENSORS),
        (*names.ARM_JOINTS, *names.HAND_JOINTS),
        strict=True,
    ):
        spec.add_sensor(name=sensor, type=mujoco.mjtSensor.mjSENS_JOINTPOS, objtype=joint, objname=target)
    for sensor, kind in (
        (names.GRASP_POSITION_SENSOR, mujoco.mjtSensor.mjSENS_FRAMEPOS),
        (names.GRASP_ORIENTATION_SENSOR, mujoco.mjtSensor.mjSENS_FRAMEQUAT),
    ):
        spec.add_sensor(name=sensor, type=kind, objtype=site, objname=names.GRASP_SITE)
    table = (mujoco.mjtObj.mjOBJ_GEOM, names.TABLE_GEOM)
    add_contact_sensor(spec, names.HAND_TABLE_SENSOR, (xbody, names.HAND_BASE), table)
    add_contact_sensor(spec, names.ARM_TABLE_SENSOR, (xbody, names.ARM_LINKS[0]), table)


def _surroundings(spec: mujoco.MjSpec) -> None:
    texture = mujoco.mjtTexture
    builtin = mujoco.mjtBuiltin
    spec.add_texture(
        name="sky", type=texture.mjTEXTURE_SKYBOX, builtin=builtin.mjBUILTIN_GRADIENT,
        rgb1=[0.78, 0.82, 0.86], rgb2=[0.42, 0.46, 0.52], width=64, height=384,
    )  # fmt: skip
    spec.add_texture(
        name="wood", type=texture.mjTEXTURE_2D, builtin=builtin.mjBUILTIN_FLAT, mark=mujoco.mjtMark.mjMARK_RANDOM,
        rgb1=[0.62, 0.52, 0.42], rgb2=[0.6, 0.5, 0.4], markrgb=[0.59, 0.49, 0.39], random=0.2, width=192, height=192,
    )  # fmt: skip
    spec.add_texture(
        name="floor", type=texture.mjTEXTURE_2D, builtin=builtin.mjBUILTIN_CHECKER,
        rgb1=[0.36, 0.39, 0.43], rgb2=[0.31, 0.34, 0.38], width=128, height=128,
    )  # fmt: skip
    for name, repeat, shine in (("wood", 2.0, 0.15), ("floor", 6.0, 0.05)):
        material = spec.add_material(name=name, texrepeat=[repeat, repeat], specular=shine, shininess=0.2)
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    world = spec.worldbody
    table = world.add_geom(
        name=names.TABLE_GEOM, type=mujoco.mjtGeom.mjGEOM_BOX, pos=TABLE_CENTRE_M, size=TABLE_HALF_M, material="wood"
    )
    table.contype, table.conaffinity = contact.STATIC
    table.condim, table.friction = contact.CONDIM, list(contact.TABLE_FRICTION)
    floor = world.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, pos=[0, 0, -0.75], size=[4, 4, 0.1], material="floor")
    floor.contype = floor.conaffinity = 0
    key = world.add_light(pos=[0.9, -0.7, 1.8], dir=[-0.28, 0.42, -0.86], type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL)
    key.diffuse, key.specular, key.castshadow = [0.55, 0.55, 0.53], [0.25, 0.25, 0.25], True
    fill = world.add_light(pos=[0.2, 1.2, 1.6], dir=[0.2, -0.6, -0.77], type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL)
    fill.diffuse, fill.specular, fill.castshadow = [0.25, 0.26, 0.28], [0.05, 0.05, 0.05], False


def base_spec(options: PhysicsOptions | None = None) -> mujoco.MjSpec:
    """A fresh world with table, cameras, arm, hand and base sensors; add objects to it, then ``compile()``."""
    options = options or PhysicsOptions()
    spec = mujoco.MjSpec()
    spec.modelname = "deft"
    spec.compiler.degree = False
    option = spec.option
    option.timestep, option.impratio, option.iterations = options.timestep_s, options.impratio, options.iterations
    option.integrator = {
        "implicitfast": mujoco.mjtIntegrator.mjINT_IMPLICITFAST,
        "discrete": mujoco.mjtIntegrator.mjINT_DISCRETE,
    }[options.integrator]
    elliptic = options.cone == "elliptic"
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC if elliptic else mujoco.mjtCone.mjCONE_PYRAMIDAL
    option.solver = mujoco.mjtSolver.mjSOL_NEWTON
    option.jacobian = _JACOBIANS[options.jacobian]
    # A fixed size of the scene, so that clipping planes and thus depth do not depend on the objects.
    spec.stat.extent, spec.stat.center = 1.0, [0.4, 0.0, 0.1]
    visual = spec.visual
    visual.global_.offwidth, visual.global_.offheight = IMAGE_WIDTH, IMAGE_HEIGHT
    visual.map.znear, visual.map.zfar = 0.02, 12.0
    visual.headlight.ambient, visual.headlight.diffuse = [0.32, 0.32, 0.32], [0.18, 0.18, 0.18]
    visual.headlight.specular = [0.0, 0.0, 0.0]
    visual.quality.shadowsize = 2048
    visual.map.shadowclip = 1.5
    _surroundings(spec)
    _camera(spec, names.EGO_CAMERA, ego_pose())
    _camera(spec, names.FILM_CAMERA, look_at(FILM_POSITION_M, FILM_TARGET_M))
    add_hand(spec, add_arm(spec))
    _base_sensors(spec)
    return spec

"""The xArm6 as an MjSpec: true kinematics and inertias, position servos, colliding links, a plausible look."""

from __future__ import annotations

from typing import Final

import mujoco
import numpy as np

from deft_env.sim import contact, names, robot
from deft_env.sim.robot import Vec3

SERVO_GAIN_NM_RAD: Final = (4000.0, 4000.0, 3000.0, 1500.0, 1200.0, 800.0)
SERVO_DAMPING_NMS_RAD: Final = (180.0, 180.0, 120.0, 45.0, 36.0, 20.0)
JOINT_DAMPING_NMS_RAD: Final = (10.0, 10.0, 5.0, 5.0, 2.0, 2.0)
JOINT_ARMATURE_KGM2: Final = (1.0, 1.0, 0.6, 0.3, 0.2, 0.1)
TORQUE_LIMIT_SCALE: Final = 3.0
"""Peak torque over the joint's rated effort (assumed): a stiff servo tracks a path that the rated torque would lag."""

_WHITE: Final = (0.91, 0.92, 0.93, 1.0)
_GREY: Final = (0.34, 0.36, 0.39, 1.0)
_VISUAL_GROUP: Final = 1
_COLLISION_GROUP: Final = 3


def add_capsule(
    body: mujoco.MjsBody,
    start: Vec3,
    end: Vec3,
    radius_m: float,
    *,
    name: str = "",
    rgba: tuple[float, ...] = _WHITE,
    kind: mujoco.mjtGeom = mujoco.mjtGeom.mjGEOM_CAPSULE,
) -> mujoco.MjsGeom:
    """Adds a massless visual capsule (or cylinder) from ``start`` to ``end`` (m, body frame)."""
    geom = body.add_geom(
        name=name, type=kind, fromto=[*start, *end], size=[radius_m, 0.0, 0.0], rgba=list(rgba), mass=0.0
    )
    geom.group = _VISUAL_GROUP
    geom.contype = geom.conaffinity = 0
    return geom


def _collide(body: mujoco.MjsBody, name: str, start: Vec3, end: Vec3, radius_m: float) -> None:
    geom = add_capsule(body, start, end, radius_m, name=name)
    geom.group = _COLLISION_GROUP
    geom.contype, geom.conaffinity = contact.ARM
    geom.rgba = [0.8, 0.3, 0.3, 0.4]


def _drum(body: mujoco.MjsBody, centre: Vec3, axis: int, half_m: float, radius_m: float, cap: bool = True) -> None:
    """A joint housing: a white cylinder along one body axis with grey caps."""
    cylinder = mujoco.mjtGeom.mjGEOM_CYLINDER
    unit = np.eye(3)[axis]
    low, high = (tuple(np.add(centre, s * half_m * unit)) for s in (-1.0, 1.0))
    add_capsule(body, low, high, radius_m, kind=cylinder)
    if cap:
        low, high = (tuple(np.add(centre, s * (half_m + 0.004) * unit)) for s in (-1.0, 1.0))
        add_capsule(body, low, high, 0.88 * radius_m, rgba=_GREY, kind=cylinder)


def _dress(links: list[mujoco.MjsBody], base: mujoco.MjsBody) -> None:
    """Visual and colliding geoms; sizes by eye from product drawings (assumed)."""
    cylinder = mujoco.mjtGeom.mjGEOM_CYLINDER
    add_capsule(base, (0, 0, 0), (0, 0, 0.012), 0.085, rgba=_GREY, kind=cylinder)
    add_capsule(base, (0, 0, 0.012), (0, 0, 0.19), 0.060, kind=cylinder)
    one, two, three, four, five, six = links
    add_capsule(one, (0, 0, -0.075), (0, 0, -0.068), 0.0605, rgba=_GREY, kind=cylinder)
    add_capsule(one, (0, 0, -0.068), (0, 0, 0.0), 0.058, kind=cylinder)
    _drum(one, (0, 0.02, 0), 1, 0.055, 0.056)
    _drum(two, (0, 0, 0.045), 2, 0.035, 0.055)
    add_capsule(two, (0, -0.02, 0.055), (0.02, -0.25, 0.055), 0.046)
    add_capsule(two, (0.02, -0.25, 0.055), (0.0535, -0.2845, 0.05), 0.046)
    _drum(two, (0.0535, -0.2845, 0.03), 2, 0.045, 0.048)
    _drum(three, (0, 0, -0.03), 2, 0.025, 0.046)
    add_capsule(three, (0, 0, -0.01), (0.0775, 0.06, 0), 0.042)
    add_capsule(three, (0.0775, 0.06, 0), (0.0775, 0.20, 0), 0.042)
    add_capsule(three, (0.0775, 0.20, 0), (0.0775, 0.215, 0), 0.044, rgba=_GREY, kind=cylinder)
    add_capsule(four, (0, 0, -0.13), (0, 0, -0.02), 0.038)
    _drum(four, (0, 0, 0), 1, 0.045, 0.042)
    add_capsule(five, (0.01, 0, 0), (0.076, 0.02, 0), 0.037)
    add_capsule(five, (0.076, -0.02, 0), (0.076, 0.060, 0), 0.038, kind=cylinder)
    add_capsule(six, (0, 0, -0.036), (0, 0, -0.004), 0.0375, rgba=_WHITE, kind=cylinder)
    add_capsule(six, (0, 0, -0.004), (0, 0, 0.0), 0.0315, rgba=_GREY, kind=cylinder)
    _collide(two, names.ARM_LINKS[1], (0, 0, 0.045), (0.0535, -0.2845, 0.045), 0.055)
    _collide(three, names.ARM_LINKS[2], (0.03, 0.02, 0), (0.0775, 0.20, 0), 0.046)
    _collide(four, names.ARM_LINKS[3], (0, 0, -0.13), (0, 0, 0), 0.042)
    _collide(five, names.ARM_LINKS[4], (0.02, 0, 0), (0.076, 0.03, 0), 0.042)


def add_arm(spec: mujoco.MjSpec) -> mujoco.MjsBody:
    """Adds the arm with its base at the world's origin; returns the last link, whose frame is the flange.

    Joint origins, ranges and inertias: ``xarm_description`` (``deft_env.sim.robot``). Servos hold positions; gravity of
    arm and hand is compensated, as the real controller does.
    """
    base = spec.worldbody.add_body(name=names.ARM_BASE)
    base.mass, base.ipos, base.fullinertia = robot.BASE_MASS_KG, robot.BASE_COM_M, robot.BASE_INERTIA
    base.explicitinertial = True
    parent, links = base, []
    for i, link in enumerate(robot.ARM):
        body = parent.add_body(name=names.ARM_LINKS[i], pos=link.origin_m, gravcomp=1.0)
        quat = np.zeros(4)
        # rpy of the description: fixed axes x, then y, then z.
        mujoco.mju_euler2Quat(quat, np.array(link.rpy_rad), "XYZ")
        body.quat = quat
        body.mass, body.ipos, body.fullinertia = link.mass_kg, link.com_m, link.inertia
        body.explicitinertial = True
        joint = body.add_joint(name=names.ARM_JOINTS[i], type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 0, 1])
        joint.range, joint.limited = link.range_rad, mujoco.mjtLimited.mjLIMITED_TRUE
        joint.damping[0], joint.armature = JOINT_DAMPING_NMS_RAD[i], JOINT_ARMATURE_KGM2[i]
        servo = spec.add_actuator(
            name=names.ARM_ACTUATORS[i], target=names.ARM_JOINTS[i], trntype=mujoco.mjtTrn.mjTRN_JOINT
        )
        servo.set_to_position(kp=SERVO_GAIN_NM_RAD[i], kv=SERVO_DAMPING_NMS_RAD[i])
        limit = TORQUE_LIMIT_SCALE * link.effort_nm
        servo.forcelimited, servo.forcerange = mujoco.mjtLimited.mjLIMITED_TRUE, [-limit, limit]
        servo.ctrllimited, servo.ctrlrange = mujoco.mjtLimited.mjLIMITED_TRUE, link.range_rad
        links.append(body)
        parent = body
    _dress(links, base)
    parent.add_site(name=names.FLANGE_SITE, size=[0.004, 0.004, 0.004], group=4)
    return parent

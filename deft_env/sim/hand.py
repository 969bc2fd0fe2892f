"""The soft hand as an MjSpec: 16 compliant joints, 12 motors, rubber pads; a stand-in for DASH with assumed sizes.

A claw: the palm plate is perpendicular to the flange axis, three fingers stand on one edge and the thumb on the other.
PIP and DIP of a finger hang on one fixed tendon whose moment arms are 1 : DIP_PER_PIP; with equal springs the free
finger therefore keeps DIP = DIP_PER_PIP * PIP, and a finger whose middle link is stopped goes on curling at the tip.
"""

from __future__ import annotations

from typing import Final

import mujoco

from deft_env import grasp
from deft_env.sim import contact, names, robot
from deft_env.sim.arm import add_capsule
from deft_env.sim.hand_calibration import TENDON_DIP, TENDON_PIP

BODY_MASS_KG: Final = 0.45
"""Palm plate, adapter and motor block (assumed)."""

_PRINT: Final = (0.20, 0.22, 0.27, 1.0)
_SHELL: Final = (0.88, 0.86, 0.80, 1.0)
_RUBBER: Final = (0.06, 0.06, 0.07, 1.0)
_ACCENT: Final = (0.87, 0.43, 0.14, 1.0)


def _joint(body: mujoco.MjsBody, finger: str, kind: str, axis: tuple[float, float, float]) -> None:
    ranges = grasp.THUMB_RANGES_RAD if finger == "thumb" else grasp.FINGER_RANGES_RAD
    joint = body.add_joint(name=f"{names.HAND_PREFIX}{finger}_{kind}", type=mujoco.mjtJoint.mjJNT_HINGE, axis=axis)
    joint.range, joint.limited = ranges[kind], mujoco.mjtLimited.mjLIMITED_TRUE
    joint.stiffness[0], joint.damping[0] = robot.JOINT_STIFFNESS_NM_RAD, robot.JOINT_DAMPING_NMS_RAD
    joint.frictionloss, joint.armature = robot.JOINT_FRICTION_NM, robot.JOINT_ARMATURE_KGM2


def _segment(body: mujoco.MjsBody, finger: str, segment: str, length_m: float, mass_kg: float) -> None:
    """One link along +z: the colliding rubber capsule, and a printed shell around all but the tip."""
    geom = body.add_geom(
        name=names.segment_geom(finger, segment),
        type=mujoco.mjtGeom.mjGEOM_CAPSULE,
        fromto=[0, 0, 0, 0, 0, length_m - (robot.FINGER_RADIUS_M if segment == "distal" else 0.0)],
        # A hair thicker at the tip, so that it does not share its root with the middle link's end when drawn.
        size=[robot.FINGER_RADIUS_M + (2e-4 if segment == "distal" else 0.0), 0, 0],
        mass=mass_kg,
        rgba=_RUBBER if segment == "distal" else _SHELL,
    )
    geom.contype, geom.conaffinity = contact.THUMB if finger == "thumb" else contact.FINGER
    geom.condim, geom.friction = contact.CONDIM, list(contact.RUBBER_FRICTION)
    geom.solref, geom.solimp = list(contact.SOLREF), list(contact.SOLIMP)
    inner = -1.0 if finger == "thumb" else 1.0
    r = robot.FINGER_RADIUS_M
    if segment != "distal":  # a rubber pad on the inner side, and the dark neck of the flexure at the root
        pad = body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=[inner * 0.62 * r, 0, 0.55 * length_m],
            size=[0.4 * r, 0.72 * r, 0.30 * length_m],
            rgba=_RUBBER,
            mass=0.0,
        )
        pad.contype = pad.conaffinity = 0
        pad.group = 1
    add_capsule(body, (0, -1.02 * r, 0), (0, 1.02 * r, 0), 0.62 * r, rgba=_PRINT, kind=mujoco.mjtGeom.mjGEOM_CYLINDER)


def _finger(base: mujoco.MjsBody, finger: str, root_m: tuple[float, float, float]) -> None:
    thumb = finger == "thumb"
    lengths = robot.THUMB_SEGMENT_LENGTHS_M if thumb else robot.SEGMENT_LENGTHS_M
    # Forward, PIP and DIP bend the straight finger (+z) towards the other side: +x for fingers, -x for the thumb.
    bend = (0.0, -1.0, 0.0) if thumb else (0.0, 1.0, 0.0)
    body = base.add_body(name=names.knuckle_body(finger), pos=root_m, gravcomp=1.0)
    _joint(body, finger, "side", (-1.0, 0.0, 0.0))
    body.mass, body.explicitinertial = 0.006, True
    body.inertia = [6e-7, 6e-7, 6e-7]
    add_capsule(body, (0, 0, -0.012), (0, 0, 0.0), 0.0075, rgba=_ACCENT, kind=mujoco.mjtGeom.mjGEOM_CYLINDER)
    z = 0.0
    for segment, joint, length, mass in zip(
        names.SEGMENTS, ("forward", "pip", "dip"), lengths, robot.SEGMENT_MASSES_KG, strict=True
    ):
        body = body.add_body(name=names.segment_body(finger, segment), pos=[0, 0, z], gravcomp=1.0)
        _joint(body, finger, joint, bend)
        _segment(body, finger, segment, length, mass)
        z = length
    body.add_site(name=names.tip_site(finger), pos=[0, 0, z - robot.FINGER_RADIUS_M], size=[0.004] * 3, group=4)


def _motors(spec: mujoco.MjSpec) -> None:
    for name in grasp.MOTOR_NAMES:
        finger, kind = name.rsplit("_", 1)
        target, transmission = names.HAND_PREFIX + name, mujoco.mjtTrn.mjTRN_JOINT
        ranges = grasp.THUMB_RANGES_RAD if finger == "thumb" else grasp.FINGER_RANGES_RAD
        low, high = ranges["pip" if kind == "curl" else kind]
        if kind == "curl":
            tendon = spec.add_tendon(name=target)
            tendon.wrap_joint(f"{names.HAND_PREFIX}{finger}_pip", TENDON_PIP)
            tendon.wrap_joint(f"{names.HAND_PREFIX}{finger}_dip", TENDON_DIP)
            transmission = mujoco.mjtTrn.mjTRN_TENDON
        servo = spec.add_actuator(name=target, target=target, trntype=transmission)
        servo.set_to_position(kp=robot.MOTOR_GAIN_NM_RAD[kind])
        limit = robot.MOTOR_LIMIT_NM[kind]
        servo.forcelimited, servo.forcerange = mujoco.mjtLimited.mjLIMITED_TRUE, [-limit, limit]
        # The set point may lie beyond the joint's range by what the spring takes (hand_calibration).
        servo.ctrllimited, servo.ctrlrange = mujoco.mjtLimited.mjLIMITED_TRUE, [low - 0.2, high + 0.2]


def add_hand(spec: mujoco.MjSpec, flange: mujoco.MjsBody) -> mujoco.MjsBody:
    """Adds the hand to the flange (same frame); returns its base body."""
    base = flange.add_body(name=names.HAND_BASE, gravcomp=1.0)
    base.mass, base.ipos, base.explicitinertial = BODY_MASS_KG, [0.0, 0.0, 0.055], True
    base.inertia = [9e-4, 9e-4, 6e-4]
    cylinder, box = mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_BOX
    add_capsule(base, (0, 0, 0), (0, 0, 0.020), 0.038, rgba=_PRINT, kind=cylinder)
    add_capsule(base, (0, 0, 0.020), (0, 0, 0.086), 0.020, rgba=_PRINT, kind=cylinder)
    for dx in (-0.026, 0.0, 0.026):  # the motor block: three rows of four
        for dy in (-0.0285, -0.0095, 0.0095, 0.0285):
            motor = base.add_geom(type=box, pos=[dx, dy, 0.052], size=[0.0115, 0.0085, 0.026], rgba=_PRINT, mass=0.0)
            motor.contype = motor.conaffinity = 0
            motor.group = 1
    block = base.add_geom(name=f"{names.HAND_PREFIX}block", type=box, pos=[0, 0, 0.05], size=[0.038, 0.038, 0.03])
    palm = base.add_geom(
        name=names.PALM_GEOM, type=box, pos=[0.002, 0, 0.092], size=[0.053, 0.0395, 0.006], rgba=_SHELL
    )
    for geom in (block, palm):
        geom.mass = 0.0
        geom.contype, geom.conaffinity = contact.PALM
        geom.condim, geom.friction = contact.CONDIM, list(contact.TABLE_FRICTION)
    block.group = 3
    x, z, pitch = robot.FINGER_ROW_X_M, robot.FINGER_ROOT_Z_M, robot.FINGER_PITCH_M
    for finger, y in zip(grasp.FINGER_NAMES[:3], (pitch, 0.0, -pitch), strict=True):
        _finger(base, finger, (x, y, z))
    _finger(base, grasp.FINGER_NAMES[3], robot.THUMB_ROOT_M)
    base.add_site(name=names.GRASP_SITE, pos=robot.GRASP_SITE_FROM_FLANGE_M, size=[0.005] * 3, group=4)
    _motors(spec)
    return base

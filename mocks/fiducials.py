"""Fiducials on the simulated hand, for rehearsing ``deft calibrate``: a ChArUco board, and a marker on every link.

They are textures on thin plates of the mock rig's MuJoCo scene, so that OpenCV has to find them in the mock camera's
pictures. Simplified: plates are flat and evenly printed, touch nothing and weigh nothing.

    with MockRig(fiducial="board") as mock:        # the arm holds the board into the camera's view
        main(["calibrate", "camera", "--rig-config", str(mock.config_path), "--yes"])
"""

from __future__ import annotations

from math import cos, pi, sin
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp
from deft_env.rigs.real.arm import xarm_kinematics
from deft_env.rigs.real.calibration.fiducial import Board, marker_image, transform
from deft_env.rigs.real.calibration.joint_markers import LINKS, MarkerConfig
from deft_env.sim import names, robot, world
from deft_env.sim.kinematics import flange_from_grasp
from deft_env.tasks.task import Task, Variant

if TYPE_CHECKING:
    import mujoco

Array = NDArray[np.float64]
Fiducial = Literal["", "board", "fingers", "thumb"]
"""What the hand wears and how it is held: nothing; the board; markers, the fingers' or the thumb's to the camera."""

_THICKNESS_M: Final = 0.001
_RIM: Final = 1.0 / 6.0
"""White rim of a marker: one of its six modules."""
_SITE_M: Final = np.array(robot.GRASP_SITE_FROM_FLANGE_M)

BOARD: Final = Board()
_OUT: Final = np.array([0.6, 0.0, -0.8])
_FLAT: Final = np.column_stack([[0.0, -1.0, 0.0], [0.8, 0.0, 0.6], -_OUT])
_ASKEW: Final = np.array([[cos(0.1), -sin(0.1), 0.0], [sin(0.1), cos(0.1), 0.0], [0.0, 0.0, 1.0]])
_CENTRE_M: Final = np.array([0.5 * BOARD.columns * BOARD.square_m, 0.5 * BOARD.rows * BOARD.square_m, 0.0])
T_HAND_BOARD: Final = transform(_FLAT @ _ASKEW, np.array([0.125, 0.0, -0.10]) - _FLAT @ _ASKEW @ _CENTRE_M)
"""The board beside the thumb, facing up and out, so that the hand hangs down before the camera; a little askew."""
BOARD_FROM_CAMERA_M: Final = 0.36
MARKERS_FROM_CAMERA_M: Final = 0.22
PALM_MARKER_M: Final = 0.030
"""The palm has room for larger ones; their noise is in every angle."""
_VIEW_RAD: Final = 0.8
"""From which the camera sees backs of fingers: the angle from the open fingers' backs towards their tips."""
_ASIDE_RAD: Final = 0.35
"""And a little from the side: straight on, a marker tilted either way looks like a joint bent either way."""


def add_tile(
    spec: mujoco.MjSpec, body: str, name: str, picture: NDArray[np.uint8], size_m: tuple[float, float], T_body: Array
) -> None:
    """Adds a printed plate.

    Args:
        spec: the world.
        body: that the plate is fixed to.
        name: of geom, mesh, material and texture.
        picture: (h, w) grey.
        size_m: width and height.
        T_body: (4, 4) of its upper left corner, x right, y down, z into it.
    """
    import mujoco

    width, height = size_m
    texture = spec.add_texture(
        name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=picture.shape[1], height=picture.shape[0], nchannel=3
    )
    texture.data = np.repeat(picture[:, :, None], 3, axis=2).tobytes()
    material = spec.add_material(name=name, specular=0.0, shininess=0.0, emission=0.35)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]])
    front, back = np.column_stack([corners, np.zeros(4)]), np.column_stack([corners, np.full(4, _THICKNESS_M)])
    vertices = (np.vstack([front, back]) @ T_body[:3, :3].T + T_body[:3, 3]).ravel()
    # The front shows the picture, the rest the colour of its corner.
    texcoord = np.vstack([[[0, 0], [1, 0], [1, 1], [0, 1]], np.zeros((4, 2))])
    faces = [0, 3, 2, 0, 2, 1, 4, 5, 6, 4, 6, 7]
    for a in range(4):
        b = (a + 1) % 4
        faces += [a, b, b + 4, a, b + 4, a + 4]
    spec.add_mesh(name=name, uservert=vertices, userface=faces, usertexcoord=texcoord.ravel())
    geom = spec.body(body).add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name, material=name, mass=0.0)
    geom.contype = geom.conaffinity = 0


def add_board(spec: mujoco.MjSpec) -> None:
    """Fastens ``BOARD`` to the hand at ``T_HAND_BOARD``, with a white rim of half a square."""
    px, rim = 60, 30
    picture = np.pad(BOARD.image(px), rim, constant_values=255)
    metres = BOARD.square_m / px
    T = transform(np.eye(3), _SITE_M) @ T_HAND_BOARD
    T = T @ transform(np.eye(3), np.array([-rim * metres, -rim * metres, 0.0]))
    add_tile(
        spec, names.HAND_BASE, "fiducial/board", picture, (picture.shape[1] * metres, picture.shape[0] * metres), T
    )


def add_markers(spec: mujoco.MjSpec, config: MarkerConfig) -> None:
    """Sticks a marker on the back of every link, and two on the palm: one beside the fingers, one beside the thumb."""
    back = robot.FINGER_RADIUS_M + 2 * _THICKNESS_M
    lengths = dict.fromkeys(grasp.FINGER_NAMES, robot.SEGMENT_LENGTHS_M) | {"thumb": robot.THUMB_SEGMENT_LENGTHS_M}
    for finger, sizes in lengths.items():
        for link, length in zip(LINKS, sizes, strict=True):
            place = (-back, 0.0, 0.5 * length)
            _add_marker(spec, config, f"{finger}_{link}", names.segment_body(finger, link), place, config.size_m)
    for name in ("palm", "palm_thumb"):
        _add_marker(spec, config, name, names.HAND_BASE, (-0.058, 0.0, 0.078), PALM_MARKER_M)


def _add_marker(
    spec: mujoco.MjSpec, config: MarkerConfig, name: str, body: str, place: tuple[float, float, float], size_m: float
) -> None:
    # x along the finger to its tip (the body's z), z out of its back: -x of the fingers, +x of the thumb.
    out = np.array([1.0 if "thumb" in name else -1.0, 0.0, 0.0])
    along = np.array([0.0, 0.0, 1.0])
    left = np.cross(out, along)
    whole = size_m * (1.0 + 2.0 * _RIM)
    corner = np.array([abs(place[0]) * out[0], place[1], place[2]]) - 0.5 * whole * along + 0.5 * whole * left
    T = transform(np.column_stack([along, -left, -out]), corner)
    picture = marker_image(config.ids[name], config.dictionary, 120)
    rim = round(120 * _RIM)
    add_tile(spec, body, f"fiducial/{name}", np.pad(picture, rim, constant_values=255), (whole, whole), T)


def wearing(task: Task, fiducial: Fiducial) -> Task:
    """The task, in whose scenes the hand wears fiducials from now on."""
    if not fiducial:
        return task
    build = task.build

    def dressed(spec: mujoco.MjSpec, variant: Variant) -> None:
        build(spec, variant)
        if fiducial == "board":
            add_board(spec)
        else:
            add_markers(spec, MarkerConfig())

    task.build = dressed  # type: ignore[method-assign]
    return task


def posture(fiducial: Fiducial) -> Array:
    """Arm joints (6,), rad, that hold the board, or the backs of the fingers or the thumb, into the camera's view.

    Raises:
        ValueError: for another fiducial.
        RuntimeError: if the arm cannot.
    """
    if fiducial == "board":
        centre, out, distance = T_HAND_BOARD[:3, :3] @ _CENTRE_M + T_HAND_BOARD[:3, 3], _OUT, BOARD_FROM_CAMERA_M
    elif fiducial in ("fingers", "thumb"):
        sign = 1.0 if fiducial == "thumb" else -1.0
        centre = np.array([sign * 0.04, 0.0, -0.03])
        out = np.array([sign * cos(_VIEW_RAD) * cos(_ASIDE_RAD), sin(_ASIDE_RAD), sin(_VIEW_RAD) * cos(_ASIDE_RAD)])
        distance = MARKERS_FROM_CAMERA_M
    else:
        raise ValueError(f"fiducial: expected 'board', 'fingers' or 'thumb', got {fiducial!r}")
    found = _before_camera(centre, out, distance)
    if not found:
        raise RuntimeError(f"fiducial: the arm cannot hold {fiducial!r} into the camera's view")
    # The arm well above the table, with room to move.
    return max(found, key=lambda q: float(xarm_kinematics.wrist(q)[:, 2].min()))


def _before_camera(centre: Array, out: Array, distance_m: float) -> list[Array]:
    """Postures with a point of the hand before the camera, which sees it from ``out``, at any turn about its axis."""
    found = []
    side = np.array([0.0, 1.0, 0.0])
    for turn in np.arange(0.0, 2 * pi, pi / 12):
        # The camera's axes in the hand's frame.
        x = cos(turn) * side + sin(turn) * np.cross(-out, side)
        R_cam_hand = np.stack([x, np.cross(-out, x), -out])
        T_cam_hand = transform(R_cam_hand, np.array([0.0, 0.0, distance_m]) - R_cam_hand @ centre)
        T = world.ego_pose() @ T_cam_hand
        flange = transform(T[:3, :3], flange_from_grasp(T[:3, 3], T[:3, :3]))
        q = xarm_kinematics.inverse(flange, np.array(robot.ARM_PARKED_RAD))
        if q is not None:
            found.append(q)
    return found

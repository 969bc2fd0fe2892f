"""Pictures of a human hand and, beside it, the soft hand that its pose is retargeted to; to check by eye."""

from __future__ import annotations

from typing import Any, Final

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env.prior import retarget
from deft_env.sim import hand, names, render
from deft_env.video import human_hand

_APART_M: Final = 0.26
_SKIN: Final = (0.86, 0.64, 0.52, 1.0)
_CAMERA: Final = "beside"
SIZE_PX: Final = (480, 360)


def _model() -> Any:
    spec = mujoco.MjSpec()
    hand.add_hand(spec, spec.worldbody.add_body(pos=[0.0, 0.0, 0.0]))
    human_hand.add_hand(spec, _SKIN)
    # Seen from the palm's side and a little from the thumb's, fingers up.
    camera = spec.worldbody.add_camera(name=_CAMERA, pos=[0.46, 0.5 * _APART_M + 0.26, 0.26], fovy=42.0)
    forward = np.array([0.0, 0.5 * _APART_M, 0.11]) - np.array(camera.pos)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, np.column_stack([right, np.cross(right, forward), -forward]).flatten())
    camera.quat = quat
    spec.worldbody.add_light(pos=[0.6, 0.6, 1.0], dir=[-0.5, -0.4, -0.8])
    spec.visual.global_.offwidth, spec.visual.global_.offheight = SIZE_PX
    spec.visual.headlight.ambient = [0.4, 0.4, 0.4]
    return spec.compile()


def side_by_side(poses: ArrayLike) -> NDArray[np.uint8]:
    """Robot hand left, human hand right, for absolute MANO poses (N, 45), one row each, (N · 360, 480, 3).

    The human hand is turned by ``retarget.R_MANO_HAND`` alone: equal orientations look equal.

    Raises:
        RenderingUnavailableError: if there is no off-screen OpenGL.
    """
    model = _model()
    rows = []
    for pose in np.asarray(poses, dtype=np.float64).reshape(-1, 45):
        data = mujoco.MjData(model)
        for name, value in zip(names.HAND_JOINTS, retarget.retarget_fingers(pose), strict=True):
            data.qpos[model.joint(name).qposadr[0]] = value
        human_hand.Hand(model, data).place(retarget.R_MANO_HAND.T, np.array([0.0, _APART_M, 0.02]), pose)
        rows.append(render.Scene(model, data.qpos).rgb(_CAMERA, SIZE_PX))
    return np.concatenate(rows)


def example_poses() -> NDArray[np.float64]:
    """Poses (4, 45) for documentation: flat, spread, flexed, pinching."""
    spread = np.zeros((15, 3))
    for finger, angle in (("index", 0.3), ("ring", -0.25), ("little", -0.4)):
        spread[human_hand.mano.FIRST_JOINT[finger] - 1, retarget.SPREAD] = angle
    flexed = human_hand.finger_angles(dict.fromkeys(human_hand.mano.FINGERS, 0.6))
    pinched = human_hand.pinch(np.eye(3), np.zeros(3), 0.01, floor_m=-1.0)
    pinching = np.zeros(45) if pinched is None else pinched.pose
    return np.stack(
        [
            np.zeros(45),
            retarget.pose_from_anatomical(spread).ravel(),
            retarget.pose_from_anatomical(flexed).ravel(),
            pinching,
        ]
    )

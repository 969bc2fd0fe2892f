"""A human demonstration to tau: the wrist's change between adjacent frames for 40 steps after the grasp (paper,
3.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation, Slerp

from deft_env import grasp, paper
from deft_env.demonstration import Demonstration
from deft_env.prior import overlay
from deft_env.prior.retarget import R_MANO_HAND
from deft_env.registries import TaskLike
from deft_env.video.records import Array, Clip, Dataset, UnreadableError

GRASP_FROM_WRIST_M: Final = (-0.130, -0.045, 0.010)
"""Where a person's grasp lies seen from the wrist, MANO's frame (assumed): between fingertips and thumb, on the palm's
side. The robot turns about its grasp site, so the track of that point is what it must repeat, not that of the wrist."""
MAX_GAP: Final = 10
"""Longest run of frames without a hand that is bridged (our choice)."""


@dataclass(frozen=True, slots=True)
class TrajectoryConfig:
    """From a clip to a demonstration.

    Attributes:
        out: the demonstration file; the goal image is written beside it.
        grasp_frame: first frame of the grasp; -1 takes the clip's own contact frame.
        stride: every so many frames of the video is one step.
        smooth: width (frames) of the Gaussian that smooths detected tracks; 0 for none.
    """

    out: str
    grasp_frame: int = -1
    stride: int = 1
    smooth: float = 1.5


def fill_gaps(rotations: list[Array | None], positions: list[Array | None]) -> tuple[Array, Array]:
    """Wrist tracks with frames missing -> (T, 3, 3) and (T, 3), gaps bridged.

    Raises:
        ValueError: if the ends are missing or a gap is longer than ``MAX_GAP`` frames.
    """
    known = [i for i, (r, p) in enumerate(zip(rotations, positions, strict=True)) if r is not None and p is not None]
    if len(known) < 2 or known[0] != 0 or known[-1] != len(rotations) - 1:
        raise ValueError("wrist track: the hand was not seen at the start or the end of the demonstration")
    longest = int(np.diff(known).max()) - 1
    if longest > MAX_GAP:
        raise ValueError(f"wrist track: the hand was lost for {longest} frames; at most {MAX_GAP} can be bridged")
    times = np.arange(len(rotations))
    matrices = np.array([rotations[i] for i in known])
    places = np.array([positions[i] for i in known])
    turned: Array = Slerp(known, Rotation.from_matrix(matrices))(times).as_matrix()
    moved = np.stack([np.interp(times, known, places[:, c]) for c in range(3)], axis=-1)
    return turned, moved


def _smooth(rotations: Array, positions: Array, width: float) -> tuple[Array, Array]:
    if width <= 0:
        return rotations, positions
    t = np.arange(len(positions))
    weights = np.exp(-0.5 * ((t[:, None] - t[None]) / width) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    turned = Rotation.concatenate([Rotation.from_matrix(rotations).mean(weights=w) for w in weights]).as_matrix()
    return turned, weights @ positions


def displacements(
    rotations_cam: ArrayLike,
    positions_cam_m: ArrayLike,
    T_base_cam: ArrayLike,
    nominal: ArrayLike,
    smooth: float = 0.0,
) -> tuple[Array, float]:
    """MANO wrist poses in the camera -> (40, 6) displacements in the frame of the grasp's yaw, and that yaw (rad).

    Args:
        rotations_cam: (T, 3, 3), MANO wrist -> camera, from the grasp on, T >= 41.
        positions_cam_m: (T, 3) of the wrist.
        T_base_cam: (4, 4) camera -> a frame whose z points up, as calibration or gravity give it.
        nominal: (3, 3) the task's nominal orientation; the yaw is measured from it.
        smooth: width of the smoothing, frames.

    Raises:
        ValueError: for wrong shapes or a track that is too short.
    """
    R = np.asarray(rotations_cam, dtype=np.float64)
    p = np.asarray(positions_cam_m, dtype=np.float64)
    steps = paper.TRAJECTORY_STEPS
    if R.shape != (len(p), 3, 3) or p.shape[1:] != (3,):
        raise ValueError(f"rotations_cam, positions_cam_m: expected (T, 3, 3) and (T, 3), got {R.shape} and {p.shape}")
    if len(p) < steps + 1:
        raise ValueError(f"wrist track: {len(p)} poses after the grasp, {steps + 1} are needed; lower the stride")
    R, p = _smooth(R, p, smooth)
    R, p = R[: steps + 1], p[: steps + 1]
    T = np.asarray(T_base_cam, dtype=np.float64)
    R = T[:3, :3] @ R
    site = p @ T[:3, :3].T + T[:3, 3] + R @ np.array(GRASP_FROM_WRIST_M)
    yaw = _yaw(R[0] @ R_MANO_HAND, np.asarray(nominal, dtype=np.float64))
    back = Rotation.from_euler("z", -yaw).as_matrix()
    turns = Rotation.from_matrix(R[1:] @ np.swapaxes(R[:-1], -1, -2)).as_rotvec()
    return np.concatenate([np.diff(site, axis=0) @ back.T, turns @ back.T], axis=1), yaw


def _yaw(R_base_hand: Array, nominal: Array) -> float:
    try:
        return float(grasp.rotation_to_wrist(R_base_hand, nominal)[2])
    except ValueError:  # tilted by a quarter turn or more: the heading of the best fitting turn about the vertical
        relative = R_base_hand @ nominal.T
        return float(np.arctan2(relative[1, 0] - relative[0, 1], relative[0, 0] + relative[1, 1]))


def demo_to_trajectory(
    dataset: Dataset, clip: Clip, task: TaskLike, T_base_cam: ArrayLike, config: TrajectoryConfig
) -> Demonstration:
    """Makes and writes the demonstration of a clip, with the clip's last used frame as the goal image beside it.

    The dataset must give wrist positions in metres (HOI4D, or HaMeR and WiLoR with ``position_m``): FrankMocap's weak
    perspective has no depth.

    Raises:
        ValueError: if the hand is lost, the clip too short, or positions are not known.
    """
    start = config.grasp_frame if config.grasp_frame >= 0 else clip.contact_frame
    if start is None:
        raise ValueError("grasp_frame: the clip has no contact frame of its own; give one")
    rotations: list[NDArray[np.float64] | None] = []
    positions: list[NDArray[np.float64] | None] = []
    frames = range(start, clip.stop + 1, config.stride)[: paper.TRAJECTORY_STEPS + 1]
    for frame in frames:
        try:
            pose = dataset.pose(clip, frame)
        except UnreadableError:
            pose = None
        if pose is not None and pose.position_m is None:
            raise ValueError("poses: they carry no wrist position in metres (position_m); use HOI4D, HaMeR or WiLoR")
        rotations.append(None if pose is None else Rotation.from_rotvec(pose.wrist).as_matrix())
        positions.append(None if pose is None else pose.position_m)
    steps, yaw = displacements(*fill_gaps(rotations, positions), T_base_cam, task.nominal_rotation, config.smooth)
    out = Path(config.out)
    goal = out.with_suffix(".goal.png")
    overlay.save_picture(goal, dataset.image(clip, frames[-1]))
    made = Demonstration(task.name, steps, yaw_rad=yaw, goal=str(goal), source="human video")
    made.save(out)
    return made

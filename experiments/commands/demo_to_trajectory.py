"""``deft demo-to-trajectory``: a clip of a demonstration to the 40 displacements and the goal image."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from numpy.typing import NDArray

from deft_env.registries import TASK_WORDS
from deft_experiments.errors import UsageError


@dataclass(frozen=True)
class Args:
    """Writes OUT (the demonstration, JSON) and OUT with the ending .goal.png (the goal image).

    Attributes:
        task: task that the clip demonstrates.
        clip: name of the clip, or of its video where it has one clip only.
        dataset: ego4d, epic-kitchens or hoi4d.
        root: folder of the dataset.
        camera: JSON file with the 4 x 4 matrix T_base_cam of the camera that took the clip, as a list of rows or under
            the key T_base_cam.
        out: file to write.
        poses: hand pose detector; it must give wrist positions in metres (hamer, wilor, hoi4d).
        grasp_frame: first frame of the grasp; -1 takes the clip's own contact frame.
        stride: every so many frames are one step.
        smooth: width of the smoothing, frames; 0 for none.
    """

    task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TASK")]
    clip: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="CLIP")]
    dataset: str
    root: Path
    camera: Path
    out: Path
    poses: str = "hamer"
    grasp_frame: int = -1
    stride: int = 1
    smooth: float = 1.5


def camera_pose(path: Path) -> NDArray[np.float64]:
    """T_base_cam (4, 4) from a JSON file.

    Raises:
        UsageError: if the file holds no rigid transform.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        pose = np.array(data["T_base_cam"] if isinstance(data, dict) else data, dtype=np.float64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"--camera {path}: expected JSON with T_base_cam as four rows of four numbers ({error!r})"
        ) from None
    good = pose.shape == (4, 4) and bool(np.isfinite(pose).all()) and np.allclose(pose[3], [0, 0, 0, 1])
    if not good or np.abs(pose[:3, :3] @ pose[:3, :3].T - np.eye(3)).max() > 1e-6:
        raise UsageError(f"--camera {path}: T_base_cam must be a rigid 4 x 4 transform, got shape {pose.shape}")
    return pose


def find(dataset: Any, name: str) -> Any:
    """The clip of a name, or the only clip of the video of that name.

    Raises:
        UsageError: naming some clips that there are.
    """
    clips = dataset.clips()
    found = [c for c in clips if c.name == name] or [c for c in clips if c.video == name]
    if len(found) != 1:
        some = ", ".join(c.name for c in clips[:5])
        raise UsageError(f"clip {name!r}: expected one clip, found {len(found)} of {len(clips)}, which begin {some}")
    return found[0]


def run(args: Args) -> int:
    """Converts, and says where the wrist went."""
    from deft_env.registries import make_task
    from deft_env.video.extract import ExtractConfig, open_dataset
    from deft_env.video.records import UnreadableError
    from deft_env.video.trajectory import TrajectoryConfig, demo_to_trajectory

    if args.task not in TASK_WORDS:
        raise UsageError(f"unknown task {args.task!r}; there are: {', '.join(TASK_WORDS)}")
    pose = camera_pose(args.camera)
    config = TrajectoryConfig(str(args.out), args.grasp_frame, args.stride, args.smooth)
    try:
        dataset = open_dataset(ExtractConfig(args.dataset, str(args.root), str(args.out), args.poses))
        clip = find(dataset, args.clip)
        made = demo_to_trajectory(dataset, clip, make_task(args.task), pose, config)
    except (ValueError, OSError, UnreadableError) as error:
        raise UsageError(str(error)) from error
    moved = 100 * np.asarray(made.displacements)[:, :3].sum(axis=0)
    print(f"{args.out}: {len(made.displacements)} displacements, wrist moved {np.round(moved, 1).tolist()} cm in all")
    return 0

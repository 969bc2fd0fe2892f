"""Where pictures and detector outputs lie beside a dataset: one layout for all of them.

::

    <root>/frames/<video>/frame_%010d.jpg      pictures (EPIC-KITCHENS' own naming), or <root>/videos/<video>.mp4
    <root>/100doh/<video>/%010d.npz            hand-object detections
    <root>/detic/<video>/%010d.npz             object detections
    <root>/frankmocap/<video>/%010d_prediction_result.pkl
    <root>/hamer/<video>/%010d.npz             or <root>/wilor/…
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deft_env.video import detectors
from deft_env.video.records import (
    Clip,
    Dataset,
    HandBox,
    HandPose,
    ObjectBox,
    UnreadableError,
    inside,
    read_image,
    read_video_frame,
)


@lru_cache(maxsize=256)
def _hand_object(path: Path) -> tuple[list[HandBox], list[ObjectBox]]:
    return detectors.read_100doh(path)


class FolderDataset(Dataset):
    """A dataset with the layout above; a subclass reads the annotations."""

    def __init__(self, root: str | Path, poses: str = "frankmocap") -> None:
        """``poses`` says which hand pose detector to read: ``frankmocap``, ``hamer`` or ``wilor``.

        Raises:
            ValueError: for another one.
        """
        super().__init__(root)
        if poses not in detectors.POSE_READERS:
            raise ValueError(f"poses: expected one of {sorted(detectors.POSE_READERS)}, got {poses!r}")
        self.poses = poses

    def image(self, clip: Clip, frame: int) -> NDArray[np.uint8]:
        """From ``frames/``, or else from ``videos/``."""
        folder = inside(self.root, "frames", clip.video)
        if folder.is_dir():
            for suffix in ("jpg", "png"):
                path = folder / f"frame_{frame:010d}.{suffix}"
                if path.is_file():
                    return read_image(path)
            raise UnreadableError(f"{folder}: frame {frame} is missing")
        return read_video_frame(inside(self.root, "videos", f"{clip.video}.mp4"), frame)

    def hands(self, clip: Clip, frame: int) -> list[HandBox]:
        """From ``100doh/``."""
        return _hand_object(inside(self.root, "100doh", clip.video, f"{frame:010d}.npz"))[0]

    def touched(self, clip: Clip, frame: int) -> list[ObjectBox]:
        """From ``100doh/``."""
        return _hand_object(inside(self.root, "100doh", clip.video, f"{frame:010d}.npz"))[1]

    def objects(self, clip: Clip, frame: int) -> list[ObjectBox]:
        """From ``detic/``."""
        return detectors.read_detic(inside(self.root, "detic", clip.video, f"{frame:010d}.npz"))

    def pose(self, clip: Clip, frame: int) -> HandPose | None:
        """From the folder of the hand pose detector."""
        name = f"{frame:010d}{detectors.POSE_SUFFIX[self.poses]}"
        return detectors.POSE_READERS[self.poses](inside(self.root, self.poses, clip.video, name))

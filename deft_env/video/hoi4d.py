"""HOI4D: its folders, action annotations and refined hand poses (absolute MANO).

::

    <root>/HOI4D_release/ZY…/H*/C*/N*/S*/s*/T*/align_rgb/image.mp4   (or pictures: align_rgb/%05d.jpg)
    <root>/HOI4D_annotations/…/action/color.json
    <root>/handpose/refinehandpose_right/ZY…/H*/…/T*/<frame>.pickle
    <root>/definitions/task/task_definitions.csv
    <root>/100doh/<clip with / as __>/%010d.npz and detic/… as in ``folder``
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deft_env.video.detectors import read_arrays, vector
from deft_env.video.ego4d import read_json
from deft_env.video.folder import FolderDataset
from deft_env.video.records import Clip, HandPose, UnreadableError, inside, read_image, read_video_frame

FRAMES: Final = 300
SECONDS: Final = 20.0
OBJECTS: Final = (
    "", "toy car", "mug", "laptop", "storage furniture", "bottle", "safe", "bowl", "bucket", "scissors", "", "pliers",
    "kettle", "knife", "trash can", "", "", "lamp", "stapler", "", "chair",
)  # fmt: skip
"""Object class of C0 … C20."""
GRASP_EVENTS: Final = ("pickup", "grasp", "open", "close", "push", "pull", "press", "dump", "cut", "carry")


def events(path: Path) -> list[tuple[str, int, int]]:
    """Actions of ``color.json`` in either variant: name in lower case, first and last frame.

    Some files run on a clock of 10 s; it is stretched to the video's 20 s.

    Raises:
        UnreadableError: if the file is missing, broken or empty.
    """
    try:
        data = read_json(path)
        if "events" in data:
            duration = float(data["info"]["duration"])
            rows = [(e["event"], float(e["startTime"]), float(e["endTime"])) for e in data["events"]]
        else:
            duration = float(data["info"]["Duration"])
            marks = data["markResult"]["marks"]
            rows = [(e["event"], float(e["hdTimeStart"]), float(e["hdTimeEnd"])) for e in marks]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnreadableError(f"{path}: no action annotation ({error})") from None
    if not rows or not duration > 0:
        raise UnreadableError(f"{path}: no action annotation (empty)")
    rate = FRAMES / SECONDS * (SECONDS / duration)
    last = FRAMES - 1
    return [(str(n).lower(), int(np.clip(a * rate, 0, last)), int(np.clip(b * rate, 0, last))) for n, a, b in rows]


def _tasks(path: Path) -> dict[tuple[str, str], str]:
    """(C*, T*) -> what the task is, from the published table; empty where it is not there."""
    if not path.is_file():
        return {}
    out: dict[tuple[str, str], str] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file):
            if len(row) >= 3:
                out[row[0].strip(), row[1].strip()] = row[2].strip()
    return out


class HOI4D(FolderDataset):
    """Right-hand sequences; the instruction is the task's text, or verb and object class where the table is missing."""

    name = "hoi4d"

    def clips(self) -> list[Clip]:
        """One clip for the first action with the object in each sequence of ``release.txt`` or of the folders."""
        base = self.root / "HOI4D_annotations"
        out: list[Clip] = []
        table = _tasks(self.root / "definitions" / "task" / "task_definitions.csv")
        for path in sorted(base.glob("ZY*/H*/C*/N*/S*/s*/T*/action/color.json")):
            sequence = path.parent.parent.relative_to(base).as_posix()
            try:
                found = events(path)
            except UnreadableError:
                self.skipped["no action annotation"] += 1
                continue
            first = next((e for e in found if e[0] in GRASP_EVENTS), None)
            if first is None:
                self.skipped["no action with the object"] += 1
                continue
            parts = sequence.split("/")
            c, t = next(p for p in parts if p[0] == "C"), next(p for p in parts if p[0] == "T")
            kind = int(c[1:]) if c[1:].isdecimal() else 0
            name = OBJECTS[kind] if kind < len(OBJECTS) else ""
            verb = {"pickup": "pick up"}.get(first[0], first[0])
            text = table.get((c, t)) or (f"{verb} the {name}" if name else "")
            stop = max(e[2] for e in found)
            out.append(Clip(sequence.replace("/", "__"), sequence, 0, stop, text, first[1]))
        return out

    def image(self, clip: Clip, frame: int) -> NDArray[np.uint8]:
        """From ``align_rgb``: pictures if there are any, else the video."""
        folder = inside(self.root, "HOI4D_release", clip.video, "align_rgb")
        picture = folder / f"{frame:05d}.jpg"
        return read_image(picture) if picture.is_file() else read_video_frame(folder / "image.mp4", frame)

    def _flat(self, clip: Clip) -> Clip:
        return Clip(clip.name, clip.name, clip.start, clip.stop, clip.narration, clip.contact_frame)

    def hands(self, clip: Clip, frame: int) -> list[Any]:
        """From ``100doh/``."""
        return super().hands(self._flat(clip), frame)

    def touched(self, clip: Clip, frame: int) -> list[Any]:
        """From ``100doh/``."""
        return super().touched(self._flat(clip), frame)

    def objects(self, clip: Clip, frame: int) -> list[Any]:
        """From ``detic/``."""
        return super().objects(self._flat(clip), frame)

    def pose(self, clip: Clip, frame: int) -> HandPose | None:
        """The refined right hand; None where the frame has none.

        Raises:
            UnreadableError: for a broken file, such as the published ones whose ``poseCoeff`` has one entry.
        """
        path = inside(self.root, "handpose", "refinehandpose_right", clip.video, f"{frame}.pickle")
        if not path.is_file():
            return None
        data = read_arrays(path)
        pose = vector(data, "poseCoeff", 48, path)
        points = vector(data, "kps2D", 42, path).reshape(21, 2) if "kps2D" in data else None
        position = vector(data, "trans", 3, path) if "trans" in data else None
        return HandPose(pose[3:], False, pose[:3], points, position)
